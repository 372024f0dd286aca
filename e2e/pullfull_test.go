package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
)

// onSmallDisk runs a shell script with a disk of 6 MiB mounted at $1, which is there for the script alone, and returns
// what it says on its standard error. The script has the other arguments as $2 and so on.
func onSmallDisk(t *testing.T, script string, env []string, args ...string) (string, error) {
	t.Helper()
	disktest.NeedTool(t, "unshare", "mount")
	namespace := "-m"
	if os.Geteuid() != 0 {
		namespace = "-rm"
	}
	run := func(script string, args ...string) (string, error) {
		cmd := exec.Command("unshare", append([]string{namespace, "sh", "-c", `mount -t tmpfs -o size=6M none "$1" || exit 99
` + script, "sh", t.TempDir()}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		return stderr.String(), err
	}
	if said, err := run(""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no small disk can be mounted: %s", said)
		}
		t.Skipf("no small disk can be mounted here, by this user: %s", said)
	}
	return run(script, args...)
}

// A pull onto a disk that fills up says so and keeps what it has, also when it is tried again there. The next one, with
// room, goes on from it.
func TestAPullOntoAFullDisk(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"disk.raw": denseDisk(24<<20, 39)})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	id := s.create("disk", o.URL+"/disk.raw")
	if m := s.settled(id); m.Status != "available" {
		t.Fatalf("%+v", m)
	}
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			kept := t.TempDir()
			said, err := onSmallDisk(t, `
				ingot image pull "$3" "$1/disk.$4" && exit 1
				ingot image pull "$3" "$1/disk.$4" && exit 1
				cp --sparse=always "$1"/* "$2"/`,
				[]string{"PATH=" + filepath.Dir(executable) + ":" + os.Getenv("PATH"), "INGOT_URL=" + s.URL, "INGOT_TOKEN=" + s.Token},
				kept, fmt.Sprint(id), format)
			if err != nil || strings.Count(said, "no space left") != 2 || strings.Count(said, "the same command goes on from there") != 2 {
				t.Fatalf("%v: %s", err, said)
			}
			g := newGate(t, s, nil)
			g.open()
			file := filepath.Join(kept, "disk."+format)
			cmd, stdout, stderr := s.pull(g, fmt.Sprint(id), file)
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			var report struct{ Fetched int }
			if err := json.Unmarshal([]byte(stdout.String()), &report); err != nil || report.Fetched < 16<<20 || report.Fetched > 23<<20 {
				t.Errorf("%v: %s", err, stdout)
			}
			got, err := os.ReadFile(file)
			if want := s.fetched(fmt.Sprintf("/v2/images/%d/file?format=%s", id, format), 0, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file differs: %d bytes, %v", len(got), err)
			}
		})
	}
}
