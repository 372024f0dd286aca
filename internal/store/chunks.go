package store

import (
	"context"
	"runtime"
)

// Chunks cuts a disk as Write does, and calls each with every chunk and its digest, one at a time, in guest order; data
// is each's until it returns. So whoever has one version of a disk finds what another has in common with it, wherever it
// has moved to. Every mapped byte is read once, in ascending order; some 12 MB of memory are held whatever the disk is.
// The first error, of the disk or of each, ends it and is returned.
func Chunks(ctx context.Context, d Disk, each func(off int64, data []byte, digest Digest) error) error {
	workers := min(runtime.GOMAXPROCS(0), 4)
	g, ctx := newGroup(ctx)
	free, cuts := make(chan *segment, 2*workers+2), make(chan *segment)
	for range cap(free) {
		free <- newSegment()
	}
	fresh := func(ctx context.Context) (*segment, error) {
		s, _, err := receive(ctx, free)
		if err == nil {
			s.reset()
		}
		return s, err
	}
	g.Go(func() error {
		var c cutter
		walk := walker{disk: d, fresh: fresh, emit: func(ctx context.Context, s *segment) error {
			if err := s.read(d); err != nil {
				return err
			}
			c.cut(s)
			return send(ctx, cuts, s)
		}}
		if err := walk.walk(ctx); err != nil {
			return err
		}
		last, err := fresh(ctx)
		if err != nil {
			return err
		}
		c.finish(last, d.Size())
		defer close(cuts)
		return send(ctx, cuts, last)
	})
	hashed := ordered(ctx, g, workers, cuts, hash)
	g.Go(func() error {
		for {
			s, ok, err := receive(ctx, hashed)
			if err != nil || !ok {
				return err
			}
			for _, c := range s.chunks {
				if err := each(c.off, s.buf[c.at:c.at+c.n], c.digest); err != nil {
					return err
				}
			}
			free <- s // has room for all
		}
	})
	return g.Wait()
}
