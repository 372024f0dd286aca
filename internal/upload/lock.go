package upload

import (
	"context"

	"github.com/tus/tusd/v2/pkg/handler"
)

// locker is the library's locker, but that a request which writes is asked to let go only once its body is being read.
// Asked before, the library looks for a body that it is about to set, finds none, and the asker waits for all of it.
type locker struct{ handler.Locker }

func (l locker) NewLock(id string) (handler.Lock, error) {
	lock, err := l.Locker.NewLock(id)
	return &held{lock: lock, released: make(chan struct{})}, err
}

// held is the lock of one upload, for one request.
type held struct {
	lock     handler.Lock
	released chan struct{}
}

func (h *held) Lock(ctx context.Context, release func()) error {
	reads := jobOf(ctx).reads
	return h.lock.Lock(ctx, func() {
		go func() {
			select {
			case <-reads:
				release()
			case <-h.released:
			}
		}()
	})
}

func (h *held) Unlock() error {
	close(h.released)
	return h.lock.Unlock()
}
