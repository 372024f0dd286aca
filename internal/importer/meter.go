package importer

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/source"
	"ingot/internal/store"
)

// meter is what is known of a running import: the stages write to it, the reporter reads it.
type meter struct {
	stored *store.Progress // counts of the store, written as it goes

	mu      sync.Mutex
	p       image.Progress
	body    *source.Stream
	size    func() int64 // the guest disk's size, as far as it is known
	entered time.Time    // when the present phase began
}

func newMeter(c image.Claim) *meter {
	return &meter{
		stored:  new(store.Progress),
		p:       image.Progress{Phase: image.PhaseQueued, Attempt: c.Attempt, Seconds: map[image.Phase]float64{}},
		entered: time.Now(),
	}
}

// phase moves on to the next phase and books the time of the last.
func (m *meter) phase(next image.Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.p.Phase != image.PhaseQueued {
		m.p.Seconds[m.p.Phase] += now.Sub(m.entered).Seconds()
	}
	m.p.Phase, m.entered = next, now
}

func (m *meter) reading(body *source.Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.body = body
}

func (m *meter) recognised(format, compression string, size func() int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p.Format, m.p.Compression, m.size = format, compression, size
}

func (m *meter) finished(w store.Written, sourceSHA256 string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p.SourceSHA256, m.p.ContentDigest = sourceSHA256, w.Manifest.String()
}

// progress returns a copy of what is known now.
func (m *meter) progress() image.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.p
	p.Seconds = maps.Clone(m.p.Seconds)
	if m.body != nil {
		p.BytesRead, p.BytesExpected = m.body.BytesRead(), m.body.Size()
	}
	if m.size != nil {
		p.GuestSize = m.size()
	}
	p.GuestBytes, p.DataBytes = m.stored.GuestBytes.Load(), m.stored.DataBytes.Load()
	p.StoredBytes, p.SharedBytes = m.stored.StoredBytes.Load(), m.stored.SharedBytes.Load()
	return p
}

// report writes the progress to the catalogue until it is stopped. A lost lease ends the import: the image was
// deleted, or another worker has it. So does a refusal: the account may not hold so much. Any other error is passing; the
// lease itself is the queue's business.
func (i *Importer) report(ctx context.Context, cancel context.CancelCauseFunc, c image.Claim, m *meter) (stop func()) {
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
			switch err := i.Catalog.Report(ctx, c, m.progress()); {
			case errors.Is(err, image.ErrLeaseLost):
				cancel(image.ErrLeaseLost)
				return
			case refusal.As(err) != nil:
				cancel(err)
				return
			case err != nil && ctx.Err() == nil:
				i.Log.Warn("progress not written", "image", c.ImageID, "error", err)
			}
		}
	})
	return func() {
		quit()
		ended.Wait()
	}
}
