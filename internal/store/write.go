package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Progress counts while a write runs; the counts may be read at any time.
type Progress struct {
	GuestBytes  atomic.Int64 // guest disk covered so far, holes included
	DataBytes   atomic.Int64 // of it in chunks
	StoredBytes atomic.Int64 // written, compressed
	SharedBytes atomic.Int64 // of DataBytes, what was there already
}

// Write keeps a disk. It reads each mapped byte once, in ascending order, by several goroutines, on all processors,
// and holds 2.4 MB at most for each of a bounded number of segments (see ownSegments). When it returns, all that it wrote is
// durable, and nothing of it can be seen before the catalogue publishes it for the same owner. After an error it
// leaves objects that the next sweep removes once the owner's lease is gone. It returns only when the reads under
// way have returned; a disk whose reads wait for a download has a method Interrupt that ends them. progress may be nil.
func (s *Store) Write(ctx context.Context, owner Owner, d Disk, progress *Progress) (Written, error) {
	if progress == nil {
		progress = new(Progress)
	}
	w := &writing{
		Store: s, owner: owner, disk: d, progress: progress,
		permits:   make(chan struct{}, s.ownSegments()),
		finishing: make(chan struct{}, 1),
		pending:   map[Digest]struct{}{},
		counted:   newSeen(),
		packs:     usedPacks{},
	}
	err := w.run(ctx)
	w.giveBack()
	if err != nil {
		return Written{}, errors.Join(err, w.abort())
	}
	return w.written, nil
}

// ownSegments is how many segments every write may have in memory, which is enough for all stages to go on. As many more
// are spare ones, of all writes of the store together, so that every stage has work while the finder gathers: one write
// alone has them all.
func (s *Store) ownSegments() int { return findSegments/2 + 3*s.workers }

// writing is one Write. Its stages hand segments on:
//
//	walk -> read (workers) -> cut -> hash (workers) -> find -> compress (workers) -> keep
//
// A stage never waits for a segment that comes after the one it has, and the walker takes the memory of segments in
// the order in which keep gives it back: so they cannot lock each other out.
type writing struct {
	*Store
	owner    Owner
	disk     Disk
	progress *Progress
	permits  chan struct{} // one for each segment in memory that is not a spare one
	spares   atomic.Int64  // how many are

	counted *seen // chunks whose stored bytes are in packs, or will be; the finder's own

	mu      sync.Mutex
	pending map[Digest]struct{} // chunks in packs that the index does not know yet
	packs   usedPacks

	pack      *packWriter // being filled
	manifest  *manifestWriter
	finishing chan struct{} // held by the pack that is being made durable
	written   Written
}

// interrupter is a disk whose reads wait for what has not arrived.
type interrupter interface{ Interrupt() }

// onFailure calls the disk's Interrupt as soon as a stage has failed. The inner context, the group's, ends when all went
// well too, with a cause of its own.
func (w *writing) onFailure(ctx, inner context.Context) (stop func() bool) {
	return context.AfterFunc(inner, func() {
		if i, ok := w.disk.(interrupter); ok && (ctx.Err() != nil || context.Cause(inner) != context.Canceled) {
			i.Interrupt()
		}
	})
}

func (w *writing) run(ctx context.Context) error {
	g, inner := newGroup(ctx)
	defer w.onFailure(ctx, inner)()
	ctx = inner
	segments, cut, found := make(chan *segment), make(chan *segment), make(chan *segment)
	g.Go(func() error {
		walk := walker{disk: w.disk, fresh: w.fresh, emit: func(ctx context.Context, s *segment) error {
			return send(ctx, segments, s)
		}}
		if err := walk.walk(ctx); err != nil {
			return err
		}
		close(segments)
		return nil
	})
	// Twice as many readers as processors: a read may wait for a download.
	read := ordered(ctx, g, 2*w.workers, segments, func(s *segment) error { return s.read(w.disk) })
	g.Go(func() error { return w.cut(ctx, read, cut) })
	hashed := ordered(ctx, g, w.workers, cut, hash)
	g.Go(func() error { return w.find(ctx, hashed, found) })
	compressed := ordered(ctx, g, w.workers, found, w.compress)
	g.Go(func() error { return w.keep(ctx, g, compressed) })
	if err := g.Wait(); err != nil {
		return err
	}
	w.written.Packs = w.packs
	return nil
}

// fresh returns an empty segment as soon as there is memory for it.
func (w *writing) fresh(ctx context.Context) (*segment, error) {
	permits := w.permits
	select {
	case w.permits <- struct{}{}:
	case w.spare <- struct{}{}:
		permits = w.spare
		w.spares.Add(1)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s := w.segments.Get().(*segment)
	s.reset()
	s.permits = permits
	return s, nil
}

func (w *writing) release(s *segment) {
	if s.out != nil {
		*s.out = (*s.out)[:0]
		w.outs.Put(s.out)
	}
	permits := s.permits
	w.segments.Put(s)
	if permits == w.spare {
		w.spares.Add(-1)
	}
	<-permits
}

// giveBack gives up the permits of the segments that a failure has left between the stages: the other writes have the
// spare ones too.
func (w *writing) giveBack() {
	for range w.spares.Swap(0) {
		<-w.spare
	}
}

// cut is the one stage between the readers and the hashers: where a chunk ends depends on where it began.
func (w *writing) cut(ctx context.Context, in <-chan *segment, out chan<- *segment) error {
	var c cutter
	for {
		s, ok, err := receive(ctx, in)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		c.cut(s)
		if err := send(ctx, out, s); err != nil {
			return err
		}
	}
	last, err := w.fresh(ctx)
	if err != nil {
		return err
	}
	w.written.GuestSize = w.disk.Size()
	last.end = w.written.GuestSize
	c.finish(last, last.end)
	if err := send(ctx, out, last); err != nil {
		return err
	}
	close(out)
	return nil
}

func hash(s *segment) error {
	for i := range s.chunks {
		c := &s.chunks[i]
		c.digest = sha256.Sum256(s.buf[c.at : c.at+c.n])
	}
	return nil
}

func (w *writing) compress(s *segment) error {
	for i := range s.chunks {
		c := &s.chunks[i]
		if c.state != chunkNew {
			continue
		}
		if s.out == nil {
			s.out = w.outs.Get().(*[]byte)
		}
		c.outAt = len(*s.out)
		*s.out, c.codec = w.codecs.encodeLightly(*s.out, s.buf[c.at:c.at+c.n])
		c.outN = len(*s.out) - c.outAt
	}
	return nil
}

// abort gives up the objects that were open when the write failed.
func (w *writing) abort() error {
	var errs []error
	if w.pack != nil {
		errs = append(errs, w.pack.object.Abort())
	}
	if w.manifest != nil {
		errs = append(errs, w.manifest.object.Abort())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("giving up an unfinished object: %w", err)
	}
	return nil
}
