package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// pack checks one pack against its own table and against the index.
func (c *check) pack(ctx context.Context, o KeptObject) error {
	rows, err := c.index.PackChunks(ctx, o.Name)
	if err != nil {
		return err
	}
	size, err := c.objects.Stat(ctx, o.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if gone, err := c.gone(ctx, o); gone || err != nil {
			return err
		}
		c.lost(rows...)
		c.tell(Damage{Code: PackMissing, Object: o.Name, Detail: fmt.Sprintf("the pack is gone, and %d chunks with it", len(rows))})
		return nil
	}
	if err != nil {
		return err
	}
	if size != o.Size {
		c.tell(Damage{Code: PackAltered, Object: o.Name, Detail: fmt.Sprintf("the pack has %d bytes and should have %d", size, o.Size)})
	}
	entries, err := readTable(objectReader{ctx, c.objects, o.Name}, o.Name, size)
	var damage *DamageError
	if errors.As(err, &damage) {
		c.tell(Damage{Code: PackAltered, Object: o.Name, Detail: damage.Reason})
		return c.chunks(ctx, o, size, rows, rows)
	}
	if err != nil {
		return c.unlessGone(ctx, o, err)
	}
	if err := c.compare(ctx, o, rows, entries); err != nil {
		return err
	}
	return c.chunks(ctx, o, size, rows, entries)
}

// unlessGone returns err unless a sweep has taken the pack, which explains it.
func (c *check) unlessGone(ctx context.Context, o KeptObject, err error) error {
	if gone, e := c.gone(ctx, o); gone || e != nil {
		return e
	}
	return err
}

// compare holds the index's rows of a pack against the pack's table.
func (c *check) compare(ctx context.Context, o KeptObject, rows, entries []Entry) error {
	table := make(map[Digest]*Location, len(entries))
	for i := range entries {
		table[entries[i].Digest] = &entries[i].Location
	}
	for _, r := range rows {
		if l := table[r.Digest]; l == nil || *l != r.Location {
			c.lost(r)
			c.tell(Damage{Code: RowWithoutChunk, Object: o.Name, Detail: "chunk " + r.Digest.String() + " is not where the index says"})
		}
		delete(table, r.Digest)
	}
	var rest []Digest
	for d := range table {
		rest = append(rest, d)
	}
	if len(rest) == 0 {
		return nil
	}
	found, err := c.index.Locate(ctx, rest)
	if err != nil {
		return err
	}
	unknown := 0
	for i := range found {
		if found[i].Pack == "" {
			unknown++
		}
	}
	if unknown == 0 {
		return nil
	}
	if gone, err := c.gone(ctx, o); gone || err != nil {
		return err
	}
	c.tell(Damage{Code: ChunkWithoutRow, Object: o.Name, Detail: fmt.Sprintf("%d chunks of the pack are unknown to the index", unknown)})
	return nil
}

// chunks reads a pack's chunks and checks each against its digest. One that the index locates elsewhere is lost to
// nobody.
func (c *check) chunks(ctx context.Context, o KeptObject, size int64, rows, entries []Entry) error {
	located := make(map[Digest]bool, len(rows))
	for i := range rows {
		located[rows[i].Digest] = true
	}
	w := window{object: objectReader{ctx, c.objects, o.Name}, size: size}
	chunk := make([]byte, maxChunk)
	for i := range entries {
		e := &entries[i]
		reason := errors.New("beyond the end of the pack")
		if e.plausible() && e.Offset <= size-int64(e.Stored) {
			stored, err := w.bytes(e.Offset, int(e.Stored))
			if err != nil {
				return c.unlessGone(ctx, o, err)
			}
			reason = c.codecs.decode(chunk[:e.Length], stored, e.Codec, e.Digest)
		}
		if reason == nil {
			continue
		}
		if located[e.Digest] {
			c.lost(*e)
		}
		c.tell(Damage{Code: ChunkAltered, Object: o.Name, Detail: "chunk " + e.Digest.String() + ": " + reason.Error()})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Packs++
	c.report.Chunks += int64(len(entries))
	c.report.Bytes += size
	return nil
}

// windowSize is how much of a pack is read at once when all of it is wanted.
const windowSize = 4 << 20

// window reads an object of known size forward in large pieces.
type window struct {
	object objectReader
	size   int64
	off    int64
	buf    []byte
}

// bytes returns n bytes, at most windowSize, which must lie in the object. They are good until the next call.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		want := int(min(windowSize, w.size-off))
		if cap(w.buf) < want {
			w.buf = make([]byte, want)
		}
		w.off, w.buf = off, w.buf[:want]
		if err := readFull(w.object, w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n], nil
}
