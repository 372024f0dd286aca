package importer_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// refusing is a call that makes a refusal with a code.
var refusing = regexp.MustCompile(`(?:refusal\.New|damaged|broken|refuse)\(\s*"((?:raw|qcow2|vhdx|vdi|vmdk|gzip|bzip2|format|compression|image|file|disk)_[a-z0-9_]+)"`)

// TestFormatsAreDocumented: docs/formats.md explains every code that a file can be refused with.
func TestFormatsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := 0
	for _, dir := range []string{"../disk", "../decompress", "."} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			for _, m := range refusing.FindAllSubmatch(src, -1) {
				codes++
				if !strings.Contains(string(text), "`"+string(m[1])+"`") {
					t.Errorf("%s: docs/formats.md says nothing of %s", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if codes < 80 {
		t.Errorf("only %d codes found; does the expression still fit?", codes)
	}
}
