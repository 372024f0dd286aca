package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCommands runs each script of testdata/script against a service of its own. The scripts find the binary on their
// PATH, the service by INGOT_URL, its data by INGOT_DATA, and images at $ORIGIN: disk.raw,
// disk.raw.gz, newer.raw and page.html. the same at $SLOW, where they take half a minute. disk.raw and newer.raw, which
// differ in one place, lie in the work folder too.
func TestCommands(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".txtar"), func(t *testing.T) { runScript(t, script) })
	}
}

func runScript(t *testing.T, script string) {
	disk := rawDisk(8<<20, 11)
	newer := append([]byte(nil), disk...)
	copy(newer[1<<20:], "changed since last night")
	files := map[string][]byte{"disk.raw": disk, "newer.raw": newer, "page.html": []byte("<html>Sign in</html>")}
	files["disk.raw.gz"] = gzipped(t, disk)
	o, slow := newOrigin(t, files), newOrigin(t, files)
	slow.rate.Store(256 << 10)
	s := start(t, filepath.Join(t.TempDir(), "data"), "--allow-source", o.allow(), "--allow-source", slow.allow())
	testscript.Run(t, testscript.Params{
		Files: []string{script},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(executable)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("INGOT_URL", s.URL)
			env.Setenv("INGOT_DATA", s.data)
			env.Setenv("ORIGIN", o.URL)
			env.Setenv("SLOW", slow.URL)
			for _, name := range []string{"disk.raw", "newer.raw"} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), files[name], 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
