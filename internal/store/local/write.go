package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/store"

	"golang.org/x/sys/unix"
)

// temporary is how the names of unfinished files begin, where they need a name.
const temporary = ".unfinished-"

func isTemporary(name string) bool { return strings.HasPrefix(name, temporary) }

// writer is one object on its way. The file has no name, or a temporary one and a lock that ends with the process.
type writer struct {
	store *Store
	ctx   context.Context
	file  *os.File // nil: ended
	temp  string   // "": the file has no name
	path  string
}

// Create begins an object.
func (s *Store) Create(ctx context.Context, name string) (store.ObjectWriter, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	w := &writer{store: s, ctx: ctx, path: path}
	if s.named {
		w.file, err = createLocked(filepath.Dir(path))
		if err == nil {
			w.temp = w.file.Name()
		}
	} else {
		w.file, err = createUnnamed(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", name, err)
	}
	return w, nil
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.file == nil {
		return 0, fs.ErrClosed
	}
	return w.file.Write(p)
}

// Commit syncs the file before it gets its name, and the folder after, with those above it: the name never leads to less
// than the whole object, whenever the power goes.
func (w *writer) Commit() error {
	if w.file == nil {
		return fs.ErrClosed
	}
	defer w.Abort()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.link(); err != nil {
		return err
	}
	dir := filepath.Dir(w.path)
	return errors.Join(syncFolder(dir), w.store.anchor(dir))
}

func (w *writer) link() error {
	if w.temp == "" {
		return linkUnnamed(w.file, w.path)
	}
	return os.Link(w.temp, w.path)
}

// Abort closes the file, which takes an unnamed one away. After Commit only the second name goes.
func (w *writer) Abort() error {
	if w.file == nil {
		return nil
	}
	var err error
	if w.temp != "" {
		err = os.Remove(w.temp)
	}
	err = errors.Join(err, w.file.Close())
	w.file = nil
	return err
}

// anchor makes the name of a folder durable, and those above it up to the root, once in a process's life: whoever made
// the folder, here or in a process that was killed, may not have come to that.
func (s *Store) anchor(dir string) error {
	if _, ok := s.durable.Load(dir); ok || dir == s.root {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := errors.Join(syncFolder(parent), s.anchor(parent)); err != nil {
		return err
	}
	s.durable.Store(dir, nil)
	return nil
}

// createLocked makes a temporary file that is locked as long as this process has it open. The sweep of another
// process may take the lock, and the file, between the two calls: then another file is made.
func createLocked(dir string) (*os.File, error) {
	for {
		f, err := os.OpenFile(filepath.Join(dir, temporary+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			if _, err = os.Lstat(f.Name()); err == nil {
				return f, nil
			}
		}
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			os.Remove(f.Name())
			return nil, err
		}
	}
}

// removeStale removes the temporary files whose writers are gone: those whose lock is free. There are none where files
// need no names.
func (s *Store) removeStale() error {
	if !s.named {
		return nil
	}
	return filepath.WalkDir(s.root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !isTemporary(d.Name()) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			return nil
		}
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
