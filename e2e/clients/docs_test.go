package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedLines holds docs/clients.md to what is run: every setting that a script gets is there, and every line
// of code there is in a script.
func TestDocumentedLines(t *testing.T) {
	b, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	run, _, _ := strings.Cut(string(b), "\n## Not run here\n")
	sections := map[string]string{}
	for section := range strings.SplitSeq(run, "\n### ") {
		name, text, _ := strings.Cut(section, "\n")
		sections[name] = text
	}
	scripts := readScripts(t)
	for _, c := range clients() {
		documented := map[string]bool{}
		for _, line := range codeLines(sections[c.name]) {
			documented[line] = true
			if !strings.HasPrefix(line, "export ") && !strings.Contains(scripts, line) {
				t.Errorf("%s: the documented line is in no script: %s", c.name, line)
			}
		}
		for _, setting := range c.environment("http://127.0.0.1:8080", "TOKEN", "/etc/ingot/ca.pem") {
			if !documented["export "+setting] {
				t.Errorf("%s: docs/clients.md does not say: export %s", c.name, setting)
			}
		}
	}
}

// codeLines returns the lines in fenced blocks, without what they are indented by.
func codeLines(text string) (lines []string) {
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inside = !inside
		} else if inside && line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func readScripts(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*.py", "*.sh", "*.yml", "node/*.mjs", "node/*.cjs"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v %v", pattern, names, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
	}
	return all.String()
}
