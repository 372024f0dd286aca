package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// fscked is what ingot fsck -o json says.
type fscked struct {
	Sound    bool
	Findings []struct {
		Code, Object string
		Mended       bool
	}
}

// fsck runs the command, which must end with the code that goes with what it says.
func fsck(t *testing.T, data string, args ...string) (said fscked) {
	t.Helper()
	cmd := exec.Command(executable, append([]string{"fsck", "--data", data, "-o", "json"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("fsck: %v\n%s%s", err, out, stderr.Bytes())
	}
	if want := map[bool]int{true: 0, false: 1}[said.Sound]; cmd.ProcessState.ExitCode() != want {
		t.Errorf("fsck ended with %d, want %d\n%s%s", cmd.ProcessState.ExitCode(), want, out, stderr.Bytes())
	}
	return said
}

// objectsUnder returns the names of a store's packs and manifests.
func objectsUnder(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, folder := range []string{"packs", "manifests"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(dir, path)
			names = append(names, name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A backup is taken while imports run, more is imported and deleted and swept, the store is copied, and the service is
// killed. What docs/operating.md says under "Restore" then gives a service that has every image of the backup, byte for
// byte, goes on with the imports that were in flight, and is rid of what came after the backup.
func TestBackupAndRestore(t *testing.T) {
	disks := map[string][]byte{}
	for i, name := range []string{"kept", "deleted", "flying", "later"} {
		disks[name] = rawDisk(8<<20, 70+uint64(i))
	}
	o := newOrigin(t, disks)
	flight := newOrigin(t, disks)
	data, backup, restored := t.TempDir(), filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored")
	s := start(t, data, "--allow-source", o.allow(), "--allow-source", flight.allow())
	ids := map[string]int64{}
	for _, name := range []string{"kept", "deleted"} {
		ids[name] = s.create(name, o.URL+"/"+name)
		s.settled(ids[name])
	}
	flight.rate.Store(32 << 10) // four minutes, if need be
	ids["flying"] = s.create("flying", flight.URL+"/flying")
	s.Eventually("the import flies", func() bool { return s.progress(ids["flying"]).BytesRead > 0 })

	ingot(t, "backup", backup, "--data", data)
	s.delete(ids["deleted"])
	later := s.create("later", o.URL+"/later")
	s.settled(later)
	ingot(t, "gc", "--data", data)
	if m := s.image(ids["flying"]); m.Status != "pending" {
		t.Fatalf("the import was not in flight all the time: %+v", m)
	}
	if err := os.CopyFS(filepath.Join(backup, "store"), os.DirFS(filepath.Join(data, "store"))); err != nil {
		t.Fatal(err)
	}
	s.Kill()

	if err := os.Mkdir(restored, 0o700); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(backup, "catalog.db"), filepath.Join(restored, "catalog.db"))
	copyFile(t, filepath.Join(data, "token"), filepath.Join(restored, "token"))
	if err := os.CopyFS(filepath.Join(restored, "store"), os.DirFS(filepath.Join(backup, "store"))); err != nil {
		t.Fatal(err)
	}
	flight.rate.Store(0)
	s = start(t, restored, "--allow-source", o.allow(), "--allow-source", flight.allow())
	s.wantRestored(ids, disks, later)

	var strays []string
	for _, f := range fsck(t, restored).Findings {
		if f.Code != "object_unexpected" {
			t.Errorf("a finding after the restore: %+v", f)
		}
		strays = append(strays, f.Object)
	}
	if len(strays) < 2 {
		t.Fatalf("a pack and a manifest of the image that came after the backup should be unknown, not %q", strays)
	}
	fsck(t, restored, "--repair", "--grace", "1h")
	ingot(t, "gc", "--end-holds", "--data", restored)
	for _, name := range strays {
		if !slices.Contains(objectsUnder(t, filepath.Join(restored, "store")), name) {
			t.Errorf("%s was swept before the grace was over", name)
		}
	}
	s.delete(ids["kept"])
	s.wantRestored(map[string]int64{"deleted": ids["deleted"], "flying": ids["flying"]}, disks, later)
	if said := fsck(t, restored); !said.Sound {
		t.Errorf("the last check: %+v", said)
	}
}

func (s *service) wantRestored(ids map[string]int64, disks map[string][]byte, later int64) {
	s.t.Helper()
	for name, id := range ids {
		if m := s.settled(id); m.Status != "available" {
			s.t.Errorf("%s: %+v", name, m)
		} else if !bytes.Equal(s.content(id), disks[name]) {
			s.t.Errorf("%s has other bytes", name)
		}
	}
	if code := s.call("GET", fmt.Sprintf("/v2/images/%d", later), nil, nil); code != 404 {
		s.t.Errorf("an image that came after the backup: %d", code)
	}
}

// What a restore found too much goes when its grace is over.
func TestStraysGoAfterTheGrace(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data)
	stray := filepath.Join(data, "store", "packs", "ab", "ab0123456789abcdef0123456789abcd")
	if err := os.MkdirAll(filepath.Dir(stray), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stray, []byte("newer than the backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := fsck(t, data); said.Sound || len(said.Findings) != 1 {
		t.Errorf("a check before the repair: %+v", said)
	}
	if said := fsck(t, data, "--repair", "--grace", "0s"); !said.Sound || len(said.Findings) != 1 || !said.Findings[0].Mended {
		t.Errorf("the repair: %+v", said)
	}
	ingot(t, "gc", "--data", data)
	if _, err := os.Stat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stray object is still there: %v", err)
	}
	if said := fsck(t, data); !said.Sound {
		t.Errorf("a check in the end: %+v", said)
	}
	s.Kill()
}
