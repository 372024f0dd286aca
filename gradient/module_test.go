package gradient_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const importer = `package main

import (
	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/option"
)

func main() {
	client := gradient.NewClient(option.WithBaseURL("http://127.0.0.1:8080"))
	_ = ingot.NewClient(client.Options...)
}
`

// TestFromAnotherModule does what api.md says about a program of one's own. It needs nothing from the network: the SDK
// imports the standard library only.
func TestFromAnotherModule(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	version := regexp.MustCompile(`(?m)^go .*$`).Find(ours)
	mod := fmt.Sprintf("module example.org/client\n\n%s\n\nrequire ingot v0.0.0\n\nreplace ingot => %s\n", version, root)
	for name, text := range map[string]string{"go.mod": mod, "main.go": importer} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", os.DevNull, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"require ingot v0.0.0", "replace ingot => ../ingot"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("api.md lacks %q", line)
		}
	}
}
