// Package local keeps objects as files under one folder. An object appears whole or not at all, and what has been
// committed survives a power cut: it is synced before its name exists, and its name before Commit returns.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"ingot/internal/store"
)

// openFiles bounds the files that a Store keeps open for reading.
const openFiles = 64

// Store keeps objects under a folder of the local file system; several processes may share the folder.
type Store struct {
	root    string
	files   *fileCache
	named   bool     // temporary files have names: the file system knows no O_TMPFILE
	durable sync.Map // the folders under root whose names this process has made durable
}

var _ store.Objects = (*Store)(nil)

// Open returns the store of a folder, which it makes if need be, and removes what writers that died left in it.
func Open(root string) (*Store, error) {
	root = filepath.Clean(root)
	if err := MakeFolder(root); err != nil {
		return nil, fmt.Errorf("store folder: %w", err)
	}
	if err := syncFolder(filepath.Dir(root)); err != nil { // who made it may not have come to that
		return nil, err
	}
	s := &Store{root: root, files: newFileCache(openFiles), named: !hasTmpfile(root)}
	return s, s.removeStale()
}

// MakeFolder makes a folder, and those above it that are missing, and the names of all that it made durable.
func MakeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MakeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if info, e := os.Stat(dir); e == nil && info.IsDir() {
			return nil // another process was faster
		}
		return err
	}
	return syncFolder(parent)
}

// Close closes the files kept open for reading. Reads under way end first.
func (s *Store) Close() error {
	s.files.close()
	return nil
}

// path returns the file of an object. A name that could leave the folder, or meet a temporary file, is refused.
func (s *Store) path(name string) (string, error) {
	if !store.ValidName(name) {
		return "", fmt.Errorf("object name %q: %w", name, fs.ErrInvalid)
	}
	return filepath.Join(s.root, filepath.FromSlash(name)), nil
}

// ReadAt fills p from the object at off.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(name)
	if err != nil {
		return err
	}
	f, err := s.files.get(path)
	if err != nil {
		return err
	}
	defer s.files.put(f)
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("object %s: %d bytes at %d: %w", name, len(p), off, io.ErrUnexpectedEOF)
	}
	return err
}

// Stat returns the object's size.
func (s *Store) Stat(_ context.Context, name string) (int64, error) {
	path, err := s.path(name)
	if err != nil {
		return 0, err
	}
	info, err := statRegular(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Delete removes an object and syncs its folder, so that a power cut does not bring it back when nobody remembers it.
func (s *Store) Delete(_ context.Context, name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	s.files.drop(path)
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return nil
	case err != nil:
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// List yields every object under a folder.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[store.ObjectInfo, error] {
	return func(yield func(store.ObjectInfo, error) bool) {
		err := s.walk(ctx, folder, func(path string, info fs.FileInfo) error {
			name, err := filepath.Rel(s.root, path)
			if err != nil {
				return err
			}
			if !yield(store.ObjectInfo{Name: filepath.ToSlash(name), Size: info.Size()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(store.ObjectInfo{}, err)
		}
	}
}

// walk calls fn for every object's file under a folder. What goes away meanwhile is skipped.
func (s *Store) walk(ctx context.Context, folder string, fn func(string, fs.FileInfo) error) error {
	root := s.root
	if folder != "" {
		var err error
		if root, err = s.path(folder); err != nil {
			return err
		}
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!d.Type().IsRegular() || isTemporary(d.Name())) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(path, info)
	})
}
