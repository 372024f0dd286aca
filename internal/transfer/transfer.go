// Package transfer copies an image to one more store, from start to end, and says why it failed.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// Catalog is where a transfer finds what it copies, where it reports and where it ends.
type Catalog interface {
	Source(ctx context.Context, c image.Claim) (image.Content, error)
	Report(ctx context.Context, c image.Claim, p image.Progress) error
	Complete(ctx context.Context, c image.Claim, p image.Progress, w store.Written) error
}

// Worker runs transfers; several may run at once.
type Worker struct {
	Stores  func(id int64) (*store.Store, error)
	Catalog Catalog
	Log     *slog.Logger
}

// reportEvery is how often progress is written, and so how soon a transfer notices that its image was deleted.
const reportEvery = 500 * time.Millisecond

// Run copies an image's content to the store of a claim and puts the image into its region. A failure is returned as a
// *refusal.Error that is worded for an operator; image.ErrLeaseLost and the context's cause are returned as they are.
func (w *Worker) Run(ctx context.Context, c image.Claim) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	content, err := w.Catalog.Source(ctx, c)
	if err != nil {
		return explain(ctx, err)
	}
	m := &meter{content: content, attempt: c.Attempt, begun: time.Now()}
	stop := w.report(ctx, cancel, c, m)
	written, err := w.copy(ctx, c, content, m)
	stop()
	if err == nil {
		err = w.Catalog.Complete(ctx, c, m.progress(), written)
	}
	return explain(ctx, err)
}

// copy copies from the first store that can be read to the end. What came from one that failed half way is not copied
// again from the next.
func (w *Worker) copy(ctx context.Context, c image.Claim, content image.Content, m *meter) (store.Written, error) {
	target, err := w.Stores(c.StoreID)
	if err != nil {
		return store.Written{}, err
	}
	digest, err := store.ParseDigest(content.Digest)
	if err != nil {
		return store.Written{}, fmt.Errorf("image %d: %w", c.ImageID, err)
	}
	var failed []error
	for _, place := range content.Places() {
		written, err := w.copyFrom(ctx, c, place, digest, target, m)
		if err == nil || ctx.Err() != nil || errors.Is(err, image.ErrLeaseLost) {
			return written, err
		}
		// What an image held goes with it, which looks like damage to who still reads.
		if lost := w.Catalog.Report(ctx, c, m.progress()); errors.Is(lost, image.ErrLeaseLost) {
			return store.Written{}, lost
		}
		w.Log.WarnContext(ctx, "an image could not be copied from a store", "image", c.ImageID, "action", c.Action,
			"from", place.StoreID, "to", c.StoreID, "error", err)
		failed = append(failed, fmt.Errorf("from store %d: %w", place.StoreID, err))
	}
	return store.Written{}, errors.Join(failed...)
}

func (w *Worker) copyFrom(ctx context.Context, c image.Claim, place image.Place, digest store.Digest, target *store.Store, m *meter) (store.Written, error) {
	source, err := w.Stores(place.StoreID)
	if err != nil {
		return store.Written{}, err
	}
	disk, err := source.Open(ctx, place.Object, digest)
	if err != nil {
		return store.Written{}, err
	}
	return target.Copy(ctx, store.Owner{Import: c.Job(), Lease: c.Lease}, disk, m.fresh())
}

// explain turns what ended a transfer into what its operator is told.
func explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var damage *store.DamageError
	switch {
	case errors.Is(err, image.ErrLeaseLost):
		return image.ErrLeaseLost
	case errors.As(err, &damage):
		return damaged(err, damage)
	case image.KindOf(err) == image.Invalid: // the catalogue knows of no store in which the image is whole
		return damaged(err, err)
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return refusal.Passing(err, "no_space", "The store that the image is copied to has no space left for it. Make room there, "+
			"and transfer the image again.")
	}
	return refusal.Passing(err, "store_failed", "The image could not be copied: %v.", err)
}

func damaged(err, what error) error {
	return refusal.Wrap(err, "content_damaged", "The image cannot be read whole from any store that has it: %v. "+
		"Run ingot fsck, and transfer the image again when it is mended.", what)
}

// meter is what is known of a running transfer.
type meter struct {
	content image.Content
	attempt int
	begun   time.Time

	mu     sync.Mutex
	counts *store.Progress // of the copying that runs now
}

// fresh returns new counts: each store that is tried begins at the first chunk.
func (m *meter) fresh() *store.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts = new(store.Progress)
	return m.counts
}

func (m *meter) progress() image.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := image.Progress{
		Phase: image.PhaseCopying, Attempt: m.attempt, GuestSize: m.content.GuestSize, ContentDigest: m.content.Digest,
		Seconds: map[image.Phase]float64{image.PhaseCopying: time.Since(m.begun).Seconds()},
	}
	if m.counts != nil {
		p.GuestBytes, p.DataBytes = m.counts.GuestBytes.Load(), m.counts.DataBytes.Load()
		p.StoredBytes, p.SharedBytes = m.counts.StoredBytes.Load(), m.counts.SharedBytes.Load()
	}
	return p
}

// report writes the progress to the catalogue until it is stopped. A lost lease ends the transfer: the image was
// deleted, or another worker has it. Any other error is passing; the lease itself is the queue's business.
func (w *Worker) report(ctx context.Context, cancel context.CancelCauseFunc, c image.Claim, m *meter) (stop func()) {
	ctx, quit := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			switch err := w.Catalog.Report(ctx, c, m.progress()); {
			case errors.Is(err, image.ErrLeaseLost):
				cancel(image.ErrLeaseLost)
				return
			case err != nil && ctx.Err() == nil:
				w.Log.WarnContext(ctx, "progress not written", "image", c.ImageID, "action", c.Action, "error", err)
			}
		}
	})
	return func() {
		quit()
		ended.Wait()
	}
}
