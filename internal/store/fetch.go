package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"
)

// fetchSize bounds how many bytes of a pack are read in one go.
const fetchSize = 256 << 10

// want is a chunk of which a reader wants a part: into is filled from the chunk's bytes after skip.
type want struct {
	digest  Digest
	place   Location
	into    []byte
	skip    int
	length  int      // of the chunk
	stretch *stretch // that brings it; nil: none does
}

// whole says that all of the chunk is wanted, so that it can be expanded in place.
func (w *want) whole() bool { return len(w.into) == w.length }

// fetch reads chunks. Those that follow one another in a pack are read together.
type fetch struct {
	store  *Store
	ctx    context.Context
	groups [][]want
	bytes  int // stored bytes of the last group

	ahead  *ahead // may be nil
	steady bool   // the read goes on from the one before
	count  int    // records so far
	next   int    // record after the last one
}

// add plans to read a record's chunk. Records are added in order.
func (f *fetch) add(record int, w want) {
	if f.ahead != nil {
		if f.count == 0 {
			f.steady = f.ahead.begin(record)
		}
		f.count, f.next = f.count+1, record+1
	}
	if b := f.store.cache.get(w.digest); len(b) == w.length {
		copy(w.into, b[w.skip:])
		return
	}
	if f.steady {
		w.stretch = f.ahead.find(record, w.place)
	}
	if n := len(f.groups); n > 0 {
		g := f.groups[n-1]
		last := &g[len(g)-1].place
		if g[0].stretch == w.stretch && last.Pack == w.place.Pack && last.Offset+int64(last.Stored) == w.place.Offset && f.bytes+int(w.place.Stored) <= fetchSize {
			f.groups[n-1] = append(g, w)
			f.bytes += int(w.place.Stored)
			return
		}
	}
	f.groups = append(f.groups, []want{w})
	f.bytes = int(w.place.Stored)
}

// run fetches the groups, on all processors if there are several.
func (f *fetch) run() error {
	if f.count > 0 {
		f.ahead.end(f.count, f.next, f.steady)
	}
	switch len(f.groups) {
	case 0:
		return nil
	case 1:
		return f.group(f.ctx, f.groups[0])
	}
	g, ctx := newGroup(f.ctx)
	g.SetLimit(f.atOnce())
	for _, wants := range f.groups {
		g.Go(func() error { return f.group(ctx, wants) })
	}
	return g.Wait()
}

// atOnce is how many groups are under way: to expand them takes processors, to wait for a distant place none.
func (f *fetch) atOnce() int {
	if f.ahead != nil {
		return max(f.store.workers, requestsAtOnce)
	}
	return f.store.workers
}

// group reads one group. Its pack may have been rewritten since it was located: then the chunks are in another.
func (f *fetch) group(ctx context.Context, wants []want) error {
	err := f.read(ctx, wants)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	digests := make([]Digest, len(wants))
	for i := range wants {
		digests[i] = wants[i].digest
	}
	found, err := f.store.index.Locate(ctx, digests)
	if err != nil {
		return err
	}
	for i := range wants {
		w := wants[i]
		w.stretch = nil
		if w.place = found[i]; int(w.place.Length) != w.length || !w.place.plausible() {
			return &DamageError{Object: wants[i].place.Pack, Reason: "the pack is gone and chunk " + w.digest.String() + " with it"}
		}
		err := f.read(ctx, []want{w})
		if errors.Is(err, fs.ErrNotExist) {
			err = &DamageError{Object: w.place.Pack, Reason: "the pack is gone"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads adjacent chunks of one pack and expands them.
func (f *fetch) read(ctx context.Context, wants []want) error {
	first, last := &wants[0].place, &wants[len(wants)-1].place
	n := int(last.Offset + int64(last.Stored) - first.Offset)
	if stretch := wants[0].stretch; stretch != nil {
		if b, ok := stretch.stored(ctx, first.Offset, n); ok {
			return f.expandAll(wants, b)
		}
	}
	buf := f.store.fetches.Get().(*[]byte)
	defer f.store.fetches.Put(buf)
	b := (*buf)[:n]
	err := f.store.objects.ReadAt(ctx, first.Pack, b, first.Offset)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamageError{Object: first.Pack, Reason: "the pack is too short", Cause: err}
	}
	if err != nil {
		return err
	}
	return f.expandAll(wants, b)
}

// expandAll expands adjacent chunks, whose stored bytes are b.
func (f *fetch) expandAll(wants []want, b []byte) error {
	first := &wants[0].place
	g := group{new(errgroup.Group)}
	for part := range slices.Chunk(wants, (len(wants)+f.store.workers-1)/f.store.workers) {
		g.Go(func() error {
			for i := range part {
				w := &part[i]
				at := w.place.Offset - first.Offset
				if err := f.expand(w, b[at:at+int64(w.place.Stored)]); err != nil {
					return &DamageError{Object: w.place.Pack, Reason: "chunk " + w.digest.String(), Cause: err}
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (f *fetch) expand(w *want, stored []byte) error {
	if w.whole() {
		return f.store.codecs.decode(w.into, stored, w.place.Codec, w.digest)
	}
	chunk := make([]byte, w.length)
	if err := f.store.codecs.decode(chunk, stored, w.place.Codec, w.digest); err != nil {
		return err
	}
	copy(w.into, chunk[w.skip:])
	f.store.cache.put(w.digest, chunk)
	return nil
}
