package local

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

func open(t testing.TB, root string) *Store {
	t.Helper()
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestObjects(t *testing.T) {
	for name, named := range map[string]bool{"unnamed": false, "named": true} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			storetest.Objects(t, func(t testing.TB) store.Objects {
				s := open(t, root)
				s.named = s.named || named
				return s
			})
			if left := temporaries(t, root); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// temporaries returns the unfinished files that have names.
func temporaries(t testing.TB, root string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if isTemporary(d.Name()) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestNamesStayInside(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "root"))
	for _, name := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../../x", "a//b", "a/", ".unfinished-x", "a/.unfinished-x"} {
		if _, err := s.Create(t.Context(), name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create(%q): %v", name, err)
		}
		if err := s.ReadAt(t.Context(), name, nil, 0); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("ReadAt(%q): %v", name, err)
		}
		if err := s.Delete(t.Context(), name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
}

// An object is never replaced.
func TestNameIsTaken(t *testing.T) {
	for _, named := range []bool{false, true} {
		s := open(t, t.TempDir())
		s.named = named
		for i, want := range []error{nil, fs.ErrExist} {
			w, err := s.Create(t.Context(), "a/b")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(); !errors.Is(err, want) {
				t.Errorf("Commit %d: %v, want %v", i, err, want)
			}
		}
		got := []byte{9}
		if err := s.ReadAt(t.Context(), "a/b", got, 0); err != nil || got[0] != 0 {
			t.Errorf("the object holds %d, %v", got[0], err)
		}
	}
}

// The writers of this test are processes that are killed in the middle of an object. Nothing of theirs is seen, and
// the next Open removes what they left, but not what a living process is about to write.
func TestKilledWriters(t *testing.T) {
	if root := os.Getenv("LOCAL_TEST_ROOT"); root != "" {
		writeForEver(t, root, os.Getenv("LOCAL_TEST_NAMED") != "")
		return
	}
	for _, named := range []string{"", "yes"} {
		root := t.TempDir()
		live := open(t, root)
		live.named = named != ""
		w, err := live.Create(t.Context(), "packs/live")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			killWriter(t, root, named)
		}
		if named != "" && len(temporaries(t, root)) < 2 {
			t.Fatal("the killed writers left nothing: the test shows nothing")
		}
		next := open(t, root)
		next.named = named != ""
		if err := next.removeStale(); err != nil {
			t.Fatal(err)
		}
		for o, err := range next.List(t.Context(), "") {
			if err != nil || o.Size != 1<<20 {
				t.Errorf("an object that is not whole: %+v, %v", o, err)
			}
		}
		if left := temporaries(t, root); named != "" && len(left) != 1 || named == "" && len(left) != 0 {
			t.Errorf("after Open there are %q", left)
		}
		if _, err := w.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if err := w.Commit(); err != nil {
			t.Errorf("the living writer's Commit: %v", err)
		}
	}
}

func killWriter(t *testing.T, root, named string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriters$")
	cmd.Env = append(os.Environ(), "LOCAL_TEST_ROOT="+root, "LOCAL_TEST_NAMED="+named)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is at work
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the writer ended by itself")
	}
}

// writeForEver makes objects of a MiB, slowly, and always has one that is not finished.
func writeForEver(t *testing.T, root string, named bool) {
	s := &Store{root: root, files: newFileCache(1), named: named}
	idle, err := s.Create(t.Context(), "packs/idle-"+strings.Repeat("x", os.Getpid()%50))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Abort()
	os.Stdout.WriteString("!")
	for i := 0; ; i++ {
		w, err := s.Create(t.Context(), filepath.ToSlash(filepath.Join("packs", filepath.Base(os.TempDir()), time.Now().Format("150405.000000000"))))
		if err != nil {
			t.Fatal(err)
		}
		for range 16 {
			if _, err := w.Write(bytes.Repeat([]byte{byte(i)}, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenFilesAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	s.files.limit = 3
	for _, name := range []string{"a", "b", "c", "d", "e", "a"} {
		if _, err := s.Stat(t.Context(), name); err != nil {
			w, err := s.Create(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(name))
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, 1)
		if err := s.ReadAt(t.Context(), name, got, 0); err != nil || string(got) != name {
			t.Errorf("ReadAt(%s) = %q, %v", name, got, err)
		}
	}
	if n := s.files.order.Len(); n != 3 || len(s.files.files) != 3 {
		t.Errorf("%d files are open, %d known", n, len(s.files.files))
	}
	f, err := s.files.get(filepath.Join(s.root, "a"))
	if err != nil {
		t.Fatal(err)
	}
	s.files.close()
	if _, err := f.ReadAt(make([]byte, 1), 0); err != nil {
		t.Errorf("a file in use was closed: %v", err)
	}
	s.files.put(f)
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a file that nobody uses stays open: %v", err)
	}
}

// The names of an object's folders are durable when it is, whoever made them: a process may have been killed before it
// came to that.
func TestFoldersAreDurable(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	if err := MakeFolder(filepath.Join(root, "packs", "ab")); err != nil {
		t.Fatal(err)
	}
	s := open(t, root+"/")
	for range 2 {
		w, err := s.Create(t.Context(), "packs/ab/"+rand.Text())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	var folders []string
	s.durable.Range(func(dir, _ any) bool { folders = append(folders, dir.(string)); return true })
	slices.Sort(folders)
	if want := []string{filepath.Join(root, "packs"), filepath.Join(root, "packs", "ab")}; !slices.Equal(folders, want) {
		t.Errorf("durable are %q, want %q", folders, want)
	}
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if err := MakeFolder(dir); err == nil {
			t.Errorf("%s is a folder", dir)
		}
	}
}
