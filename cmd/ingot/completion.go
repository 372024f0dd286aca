package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// The scripts ask nothing of ingot while they run: what can follow stands in them, made of the same model that parses
// the command line. In each, words are the commands typed so far, and the table tells what may come next.
const (
	bashScript = `_ingot() {
  local cur=${COMP_WORDS[COMP_CWORD]} path= word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path/$word" in
%[1]s    esac
  done
  case "$path" in
%[2]s  esac
}
complete -o default -F _ingot ingot
`
	zshScript  = "autoload -U +X bashcompinit && bashcompinit\n" + bashScript
	fishScript = `complete -c ingot -f
%s`
)

// Run prints the script.
func (c *completionCmd) Run(k *kong.Kong, term terminal) error {
	var script string
	switch c.Shell {
	case "fish":
		script = fmt.Sprintf(fishScript, fishLines(k.Model.Node, nil))
	default:
		paths, words := bashTables(k.Model.Node, "")
		script = fmt.Sprintf(map[string]string{"bash": bashScript, "zsh": zshScript}[c.Shell], paths, words)
	}
	_, err := fmt.Fprint(term.Out, script)
	return err
}

// bashTables returns the cases that follow a path of commands, and those that say which words come after each.
func bashTables(node *kong.Node, path string) (paths, words string) {
	next := flagNames(node)
	var below strings.Builder
	for _, child := range node.Children {
		if child.Type != kong.CommandNode || child.Hidden {
			continue
		}
		next = append(next, child.Name)
		at := path + "/" + child.Name
		paths += fmt.Sprintf("      %s) path=%s ;;\n", at, at)
		p, w := bashTables(child, at)
		paths += p
		below.WriteString(w)
	}
	key := path
	if key == "" {
		key = `""`
	}
	return paths, fmt.Sprintf("    %s) COMPREPLY=($(compgen -W %q -- \"$cur\")) ;;\n", key, strings.Join(next, " ")) + below.String()
}

func flagNames(node *kong.Node) []string {
	var names []string
	for _, f := range node.Flags {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	}
	return names
}

// fishLines returns one line for each command and each flag.
func fishLines(node *kong.Node, path []string) string {
	var b strings.Builder
	condition := "__fish_use_subcommand"
	if len(path) > 0 {
		var seen []string
		for _, word := range path {
			seen = append(seen, "__fish_seen_subcommand_from "+word)
		}
		condition = strings.Join(seen, "; and ")
	}
	for _, f := range node.Flags {
		if !f.Hidden && len(path) > 0 {
			fmt.Fprintf(&b, "complete -c ingot -n %q -l %s%s -d %q\n", condition, f.Name, fishValue(f), firstSentence(f.Help))
		}
	}
	if len(node.Positional) > 0 && len(path) > 0 {
		fmt.Fprintf(&b, "complete -c ingot -n %q -F\n", condition)
	}
	for _, child := range node.Children {
		if child.Type == kong.CommandNode && !child.Hidden {
			fmt.Fprintf(&b, "complete -c ingot -n %q -a %s -d %q\n", condition, child.Name, firstSentence(child.Help))
			b.WriteString(fishLines(child, append(path[:len(path):len(path)], child.Name)))
		}
	}
	return b.String()
}

// fishValue says what follows a flag in fish: a file, something else, or nothing.
func fishValue(f *kong.Flag) string {
	switch {
	case f.IsBool():
		return ""
	case strings.Contains(f.Tag.Type, "file") || f.Tag.Type == "path":
		return " -r -F"
	}
	return " -x"
}

func firstSentence(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.NewReplacer(`"`, "'", "$", "", "`", "'").Replace(first)
}
