package store

import (
	"context"
	"errors"
)

// keep writes the manifest and the packs, in guest order.
func (w *writing) keep(ctx context.Context, g group, in <-chan *segment) error {
	if err := w.createManifest(ctx); err != nil {
		return err
	}
	for {
		s, ok, err := receive(ctx, in)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := w.keepSegment(ctx, g, s); err != nil {
			return err
		}
		w.progress.GuestBytes.Store(s.end)
		w.release(s)
	}
	if w.pack != nil {
		if err := w.handOver(ctx, g); err != nil {
			return err
		}
	}
	digest, err := w.manifest.commit(w.written.GuestSize)
	w.written.Manifest, w.written.Size, w.written.DataBytes = digest, w.manifest.size, w.manifest.data
	return err
}

func (w *writing) createManifest(ctx context.Context) error {
	w.written.Object = newName(KindManifest)
	if err := w.index.Begin(ctx, w.owner, KindManifest, w.written.Object); err != nil {
		return err
	}
	object, err := w.objects.Create(ctx, w.written.Object)
	if err != nil {
		return err
	}
	w.manifest = &manifestWriter{object: object}
	return nil
}

// keepSegment notes a segment's chunks in the manifest and writes the new ones, which stand one after the other in
// out, with as few calls as the ends of packs allow.
func (w *writing) keepSegment(ctx context.Context, g group, s *segment) error {
	from, to := 0, 0 // in out: noted in the pack and not written yet
	for i := range s.chunks {
		c := &s.chunks[i]
		if err := w.manifest.add(c.off, c.n, c.digest); err != nil {
			return err
		}
		w.progress.DataBytes.Add(int64(c.n))
		if c.state != chunkNew {
			w.written.SharedBytes += int64(c.n)
			w.progress.SharedBytes.Add(int64(c.n))
			continue
		}
		if err := w.openPack(ctx); err != nil {
			return err
		}
		w.pack.note(c.digest, c.outN, c.n, c.codec)
		if to = c.outAt + c.outN; !w.pack.full() {
			continue
		}
		if err := w.writeOut((*s.out)[from:to]); err != nil {
			return err
		}
		from = to
		if err := w.handOver(ctx, g); err != nil {
			return err
		}
	}
	if from == to {
		return nil
	}
	return w.writeOut((*s.out)[from:to])
}

func (w *writing) openPack(ctx context.Context) error {
	if w.pack != nil {
		return nil
	}
	name := newName(KindPack)
	err := w.index.Begin(ctx, w.owner, KindPack, name)
	if err == nil {
		w.pack, err = createPack(ctx, w.objects, name)
	}
	return err
}

func (w *writing) writeOut(b []byte) error {
	w.progress.StoredBytes.Add(int64(len(b)))
	w.written.StoredBytes += int64(len(b))
	return w.pack.write(b)
}

// handOver lets a full pack become durable and known while the next is filled; one at a time, so that memory and
// what is lost with the process stay bounded.
func (w *writing) handOver(ctx context.Context, g group) error {
	if err := send(ctx, w.finishing, struct{}{}); err != nil {
		return err
	}
	p := w.pack
	w.pack = nil
	g.Go(func() error {
		defer func() { <-w.finishing }()
		return w.finishPack(ctx, p)
	})
	return nil
}

func (w *writing) finishPack(ctx context.Context, p *packWriter) error {
	if err := p.commit(); err != nil {
		return errors.Join(err, p.object.Abort())
	}
	locations, err := w.index.Add(ctx, w.owner, p.name, p.size, p.entries)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range p.entries {
		w.packs.use(&locations[i], true)
		delete(w.pending, p.entries[i].Digest)
	}
	return nil
}
