package upload

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"golang.org/x/sys/unix"

	"ingot/internal/image"
)

// locker gives one request at a time an upload, among all processes that share the folder. Within a process it is the
// library's locker; among processes it is a lock of the kernel (flock) on the upload's file, which goes with the
// process that holds it.
//
// A request that writes is asked to let go only once its body is being read. Asked before, the library looks for a
// body that it is about to set, finds none, and the asker waits for all of it.
type locker struct {
	handler.Locker
	dir string
}

func (l locker) NewLock(id string) (handler.Lock, error) {
	lock, err := l.Locker.NewLock(id)
	h := &held{lock: lock, released: make(chan struct{})}
	if image.IsUploadID(id) { // another one names no file
		h.path = filepath.Join(l.dir, id)
	}
	return h, err
}

// held is the lock of one upload, for one request.
type held struct {
	lock     handler.Lock
	path     string   // of the upload's file; "": it has none
	file     *os.File // locked; nil: there is no file
	released chan struct{}
}

const (
	askSuffix = ".ask" // of the file by which another process asks for an upload
	retryLock = 50 * time.Millisecond
	lookAsked = 200 * time.Millisecond
)

func (h *held) Lock(ctx context.Context, release func()) error {
	j := jobOf(ctx)
	letGo := func() {
		select {
		case <-j.reads:
			j.interrupted.Store(true)
			release()
		case <-h.released:
		}
	}
	err := h.lock.Lock(ctx, func() { go letGo() })
	if errors.Is(err, handler.ErrLockTimeout) { // which is another client's doing, and 500 by the library
		return handler.ErrFileLocked
	}
	if err != nil {
		return err
	}
	if err := h.lockFile(ctx); err != nil {
		_ = h.lock.Unlock() // the library looks at the error's type
		return err
	}
	if h.file != nil {
		go h.heed(letGo)
	}
	return nil
}

// lockFile waits for the other processes, and asks the one that has the upload for it. An upload without a file is one
// that has ended, or was never there.
func (h *held) lockFile(ctx context.Context) error {
	if h.path == "" {
		return nil
	}
	f, err := os.OpenFile(h.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	asked := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return errors.Join(err, f.Close(), h.settle(asked))
		}
		// Each time anew: who gets the upload, or gives up, takes away the questions of all.
		if err := os.WriteFile(h.path+askSuffix, nil, 0o600); err != nil {
			return errors.Join(err, f.Close())
		}
		asked = true
		select {
		case <-ctx.Done():
			return errors.Join(handler.ErrFileLocked, f.Close(), h.settle(asked))
		case <-time.After(retryLock):
		}
	}
	h.file = f
	return h.settle(true) // also what an asker has left that was killed
}

// settle takes the question away.
func (h *held) settle(asked bool) error {
	if !asked {
		return nil
	}
	if err := os.Remove(h.path + askSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// heed lets go when another process asks for the upload.
func (h *held) heed(letGo func()) {
	tick := time.NewTicker(lookAsked)
	defer tick.Stop()
	for {
		select {
		case <-h.released:
			return
		case <-tick.C:
		}
		if _, err := os.Lstat(h.path + askSuffix); err == nil {
			letGo()
			return
		}
	}
}

func (h *held) Unlock() error {
	close(h.released)
	var err error
	if h.file != nil {
		err = h.file.Close()
	}
	return errors.Join(err, h.lock.Unlock())
}
