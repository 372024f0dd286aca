package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/disk/disktest"
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

// restoring is what differs between the engines when a service is restored.
type restoring struct {
	args    []string // of both services, beside --data
	store   string   // the folder of the store
	catalog string   // the backup of the catalogue, in its folder
	// restore puts the catalogue back and returns where the store must be.
	restore func(file, restored string) (store string)
}

func TestBackupAndRestore(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		data := t.TempDir()
		backupAndRestore(t, data, restoring{store: filepath.Join(data, "store"), catalog: "catalog.db", restore: func(file, restored string) string {
			copyFile(t, file, filepath.Join(restored, "catalog.db"))
			return filepath.Join(restored, "store")
		}})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server, store := pgtest.Start(t), filepath.Join(t.TempDir(), "store")
		t.Setenv("INGOT_DATABASE", server.Database(t))
		backupAndRestore(t, t.TempDir(), restoring{args: []string{"--store", "file:" + store}, store: store, catalog: "catalog.pgdump",
			restore: func(file, _ string) string {
				database := server.Database(t)
				disktest.Run(t, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+database, file)
				t.Setenv("INGOT_DATABASE", database)
				if err := os.Rename(store, store+".lost"); err != nil {
					t.Fatal(err)
				}
				return store // by the name that the catalogue has for it
			}})
	})
}

// A backup is taken while imports run and an upload waits, more is imported and deleted and swept, the store is copied,
// and the service is killed. What docs/operating.md says under "Restore" then gives a service that has every image of
// the backup, byte for byte, goes on with the imports that were in flight, and is rid of what came after the backup.
func backupAndRestore(t *testing.T, data string, r restoring) {
	disks := map[string][]byte{}
	for i, name := range []string{"kept", "deleted", "flying", "later"} {
		disks[name] = rawDisk(8<<20, 70+uint64(i))
	}
	o := newOrigin(t, disks)
	flight := newOrigin(t, disks)
	backup, restored := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "restored")
	args := append(r.args, "--allow-source", o.allow(), "--allow-source", flight.allow())
	s := start(t, data, args...)
	ids := map[string]int64{}
	for _, name := range []string{"kept", "deleted"} {
		ids[name] = s.create(name, o.URL+"/"+name)
		s.settled(ids[name])
	}
	flight.rate.Store(32 << 10) // four minutes, if need be
	ids["flying"] = s.create("flying", flight.URL+"/flying")
	s.Eventually("the import flies", func() bool { return s.progress(ids["flying"]).BytesRead > 0 })
	upload := path.Base(s.uploaded(disks["later"]))

	ingot(t, "backup", backup, "--data", data)
	s.delete(ids["deleted"])
	later := s.create("later", o.URL+"/later")
	s.settled(later)
	ingot(t, "gc", "--data", data)
	if m := s.image(ids["flying"]); m.Status != "pending" {
		t.Fatalf("the import was not in flight all the time: %+v", m)
	}
	if err := os.CopyFS(filepath.Join(backup, "store"), os.DirFS(r.store)); err != nil {
		t.Fatal(err)
	}
	s.Kill()

	if err := os.Mkdir(restored, 0o700); err != nil {
		t.Fatal(err)
	}
	store := r.restore(filepath.Join(backup, r.catalog), restored)
	copyFile(t, filepath.Join(data, "token"), filepath.Join(restored, "token"))
	if err := os.CopyFS(store, os.DirFS(filepath.Join(backup, "store"))); err != nil {
		t.Fatal(err)
	}
	flight.rate.Store(0)
	if said := startFailing(t, append([]string{"serve", "--data", restored, "--listen", "127.0.0.1:0"}, args...)...); !strings.Contains(said, "--reconfigure") {
		t.Errorf("a start with an upload that is gone: %s", said)
	}
	s = start(t, restored, append(args, "--reconfigure")...)
	if at := s.offset(s.URL + "/v2/uploads/" + upload); at != -1 {
		t.Errorf("the upload is there, with %d bytes", at)
	}
	if code, message := s.createStatus("upload:" + upload); code != http.StatusUnprocessableEntity {
		t.Errorf("an import of the upload: %d %s", code, message)
	}
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
		if !slices.Contains(objectsUnder(t, store), name) {
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
