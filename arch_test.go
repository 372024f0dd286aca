// Package ingot_test holds the project's import table: who may know whom. A new arrow is a decision, made here and
// in ARCHITECTURE.md.
package ingot_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed is the table: what each package may import of ours, beside internal/refusal, which every package on an
// import's path may. "*" is everything.
var allowed = map[string][]string{
	"gradient":                       {"gradient/*"}, // its own parts
	"gradient/*":                     {"gradient", "gradient/*"},
	"gradient/internal/gradienttest": {"*"}, // the tests' service
	"internal/refusal":               {},
	"internal/image":                 {},
	"internal/inflate":               {},
	"internal/source":                {},
	"internal/decompress":            {"internal/inflate"},
	"internal/spool":                 {},
	"internal/disk":                  {"internal/disk/raw", "internal/disk/qcow2", "internal/disk/vhdx", "internal/disk/vdi", "internal/disk/vmdk"},
	"internal/disk/craft":            {},
	"internal/disk/disktest":         {},
	"internal/disk/raw":              {},
	"internal/disk/qcow2":            {"internal/inflate"},
	"internal/disk/vhdx":             {"internal/disk/blocks"},
	"internal/disk/vdi":              {"internal/disk/blocks"},
	"internal/disk/blocks":           {}, // what the two have in common
	"internal/disk/vmdk":             {"internal/inflate"},
	"internal/store":                 {"internal/disk"},
	"internal/store/local":           {"internal/store"}, // its Objects interface and nothing else
	"internal/store/s3":              {"internal/store"},
	"internal/store/s3/s3test":       {}, // the tests' server
	"internal/store/storetest":       {"internal/store"},
	"internal/export":                {"internal/store"},
	"internal/catalog/pgtest":        {},
	"internal/catalog":               {"internal/image", "internal/store"}, // the chunk index speaks in the store's words
	"internal/queue":                 {"internal/image"},
	"internal/importer":              {"internal/image", "internal/source", "internal/decompress", "internal/spool", "internal/disk", "internal/disk/*", "internal/store"},
	"internal/transfer":              {"internal/image", "internal/store"},
	"internal/upload":                {"internal/image"},
	"internal/api":                   {"internal/image"},
	"cmd/ingot":                      {"*"},
	"bench/*":                        {"*"},
	"e2e":                            {"*"},
	"e2e/*":                          {"*"},
}

// untrusting are the packages that parse what strangers send. They have no way to open anything, and no way round
// the memory safety of Go.
var untrusting = []string{"internal/disk", "internal/disk/*", "internal/decompress", "internal/inflate"}

var forbidden = []string{"os", "os/exec", "net", "net/http", "syscall", "unsafe", "C", "golang.org/x/sys/unix", "plugin"}

func TestImportTable(t *testing.T) {
	for dir, imports := range sourceImports(t) {
		row, ok := lookup(dir)
		if !ok {
			t.Errorf("%s has no row in the import table", dir)
		}
		for _, path := range imports {
			if ours, isOurs := strings.CutPrefix(path, "ingot/"); isOurs && ours != "internal/refusal" && !permits(row, ours) {
				t.Errorf("%s imports %s, which its row does not allow", dir, ours)
			}
		}
	}
}

func TestParsersCannotOpen(t *testing.T) {
	for dir, imports := range sourceImports(t) {
		if dir == "internal/disk/disktest" || !permits(untrusting, dir) {
			continue
		}
		for _, path := range imports {
			if slices.Contains(forbidden, path) {
				t.Errorf("%s imports %s: it parses what strangers send", dir, path)
			}
		}
	}
}

func TestSDKIsStandardLibraryOnly(t *testing.T) {
	for dir, imports := range sourceImports(t) {
		if dir != "gradient" && !strings.HasPrefix(dir, "gradient/") {
			continue
		}
		for _, path := range imports {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s", dir, path)
			}
		}
	}
}

func lookup(dir string) ([]string, bool) {
	if row, ok := allowed[dir]; ok {
		return row, true
	}
	for d := filepath.Dir(dir); d != "."; d = filepath.Dir(d) {
		if row, ok := allowed[d+"/*"]; ok {
			return row, true
		}
	}
	return nil, false
}

func permits(row []string, path string) bool {
	return slices.ContainsFunc(row, func(r string) bool {
		prefix, tree := strings.CutSuffix(r, "*")
		return r == path || tree && strings.HasPrefix(path, prefix)
	})
}

// sourceImports maps each folder to the imports of its files, tests left out: a test may import what it likes.
func sourceImports(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, imp := range file.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			found[dir] = append(found[dir], p)
		}
		if found[dir] == nil {
			found[dir] = []string{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no source found")
	}
	return found
}
