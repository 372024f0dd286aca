package importer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ingot/internal/disk/craft"
	"ingot/internal/image"
	"ingot/internal/store"
)

// faulty is a place of objects of which some calls fail.
type faulty struct {
	store.Objects
	err   error
	fails func(op string) bool
}

func (f *faulty) failure(op string) error {
	if f.fails(op) {
		return f.err
	}
	return nil
}

func (f *faulty) Create(ctx context.Context, name string) (store.ObjectWriter, error) {
	if err := f.failure("create"); err != nil {
		return nil, err
	}
	w, err := f.Objects.Create(ctx, name)
	return &faultyWriter{w, f}, err
}

func (f *faulty) Delete(ctx context.Context, name string) error {
	if err := f.failure("delete"); err != nil {
		return err
	}
	return f.Objects.Delete(ctx, name)
}

type faultyWriter struct {
	store.ObjectWriter
	f *faulty
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if err := w.f.failure("write"); err != nil {
		return 0, err
	}
	return w.ObjectWriter.Write(p)
}

// Commit fails after the object is there: what the caller cannot tell from a failure.
func (w *faultyWriter) Commit() error {
	return errors.Join(w.ObjectWriter.Commit(), w.f.failure("commit"))
}

var faultGuest = craft.Guest(8*mib, 21)

// TestStoreFaultsPass: a store that fails once, at any kind of call, costs an attempt and nothing else.
func TestStoreFaultsPass(t *testing.T) {
	for _, op := range []string{"create", "write", "commit", "delete"} {
		t.Run(op, func(t *testing.T) {
			var seen atomic.Int32
			b := newBench(t, options{maxAttempts: 5, objects: func(o store.Objects) store.Objects {
				return &faulty{o, errors.New("injected"), func(at string) bool { return at == op && seen.Add(1) == 1 }}
			}})
			id := b.post(b.file("/disk", func() []byte { return gzipped(faultGuest) }))
			if m, p := b.settled(id); m.Status != image.Available {
				t.Fatalf("%s: %s %s\n%s", m.Status, p.ErrorCode, m.ErrorMessage, b.log)
			}
			if !bytes.Equal(b.content(id), faultGuest) {
				t.Error("what is kept differs")
			}
			if err := b.cat.DeleteImage(t.Context(), b.account, id); err != nil {
				t.Fatal(err)
			}
			if op == "delete" {
				_, err := b.kept.Sweep(t.Context())
				if err == nil {
					t.Error("the sweep says nothing of a deletion that failed")
				}
			}
			b.wantNothing()
		})
	}
}

// TestStoreFaultsEnd: a store that goes on failing ends the import with a reason, and leaves nothing once it works.
func TestStoreFaultsEnd(t *testing.T) {
	for _, c := range []struct {
		op, code string
		err      error
	}{
		{"create", "internal_error", syscall.EIO}, {"write", "internal_error", syscall.EIO}, {"commit", "internal_error", syscall.EIO},
		{"create", "no_space", syscall.ENOSPC}, {"write", "no_space", syscall.ENOSPC}, {"commit", "no_space", syscall.EDQUOT},
	} {
		t.Run(c.op+" "+c.err.Error(), func(t *testing.T) {
			var works atomic.Bool
			b := newBench(t, options{maxAttempts: 3, objects: func(o store.Objects) store.Objects {
				return &faulty{o, &os.PathError{Op: c.op, Path: "/secret/place", Err: c.err}, func(at string) bool { return at == c.op && !works.Load() }}
			}})
			m, p := b.settled(b.post(b.file("/disk", func() []byte { return faultGuest })))
			if m.Status != image.Deleted || p.ErrorCode != c.code || p.Attempt != 3 || bytes.Contains([]byte(m.ErrorMessage), []byte("/secret")) {
				t.Errorf("%s after %d attempts: %s: %s", m.Status, p.Attempt, p.ErrorCode, m.ErrorMessage)
			}
			works.Store(true)
			b.wantNothing()
			if m, _ := b.settled(b.post(b.file("/disk", func() []byte { return faultGuest }))); m.Status != image.Available {
				t.Errorf("afterwards: %s: %s", m.Status, m.ErrorMessage)
			}
		})
	}
}

// small mounts a file system of so many bytes, and skips the test where that is not allowed.
func small(t *testing.T, dir string, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// TestNoSpace: where scratch or the store is full, the import ends in words and leaves nothing; a smaller one passes.
func TestNoSpace(t *testing.T) {
	large := craft.Guest(48*mib, 22)
	for name, c := range map[string]struct {
		folder string
		file   []byte
	}{
		"scratch": {"scratch", backwards(large)},
		"packs":   {"store", large},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			small(t, filepath.Join(dir, c.folder), "4m")
			b := newBench(t, options{dir: dir, maxAttempts: 2})
			m, p := b.settled(b.post(b.file("/large", func() []byte { return c.file })))
			if m.Status != image.Deleted || p.ErrorCode != "no_space" || p.Attempt != 2 {
				t.Errorf("%s after %d attempts: %s: %s\n%s", m.Status, p.Attempt, p.ErrorCode, m.ErrorMessage, b.log)
			}
			b.wantNothing()
			if m, _ := b.settled(b.post(b.file("/small", func() []byte { return craft.Guest(mib, 1) }))); m.Status != image.Available {
				t.Errorf("a small image: %s: %s", m.Status, m.ErrorMessage)
			}
		})
	}
}

// backwards is a qcow2 file whose clusters stand in the reverse order, so that all of it must come before the first is read.
func backwards(guest []byte) []byte {
	q := craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 16, Size: uint64(len(guest))})
	for i := int64(len(guest))/q.Cluster - 1; i >= 0; i-- {
		if b := guest[i*q.Cluster:][:q.Cluster]; bytes.Count(b, []byte{0}) < len(b) {
			q.Plain(i, b)
		}
	}
	return q.Bytes
}

// TestNoSpaceForTheDatabase fills the catalogue's file system under a running import and frees it again.
func TestNoSpaceForTheDatabase(t *testing.T) {
	dir := t.TempDir()
	small(t, filepath.Join(dir, "db"), "3m")
	b := newBench(t, options{dir: dir, database: filepath.Join(dir, "db", "catalog.db"), maxAttempts: 20})
	started, full := make(chan struct{}), make(chan struct{})
	id := b.post(b.serve("/disk", waiting(faultGuest, started, full)))
	<-started
	filler := filepath.Join(dir, "db", "filler")
	fillUp(t, filler)
	close(full)
	for end := time.Now().Add(patience); !strings.Contains(b.log.String(), "disk is full"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nobody noticed that the disk is full\n%s", b.log)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if m, p := b.settled(id); m.Status != image.Available {
		t.Fatalf("%s: %s %s\n%s", m.Status, p.ErrorCode, m.ErrorMessage, b.log)
	}
	if !bytes.Equal(b.content(id), faultGuest) {
		t.Error("what is kept differs")
	}
	if err := b.cat.DeleteImage(t.Context(), b.account, id); err != nil {
		t.Fatal(err)
	}
	b.wantNothing()
}

func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for buf := make([]byte, 4096); err == nil; {
		_, err = f.Write(buf)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
