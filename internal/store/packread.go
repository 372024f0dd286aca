package store

import (
	"context"
	"errors"
	"io"
)

// windowSize is how much of a pack is read at once when much of it is wanted.
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

// packReader reads chunks of one pack, in the order of their bytes, and checks each.
type packReader struct {
	codecs codecs
	window window
	chunk  []byte
}

// reader returns a reader of a pack of which size bytes are to be had.
func (s *Store) reader(ctx context.Context, pack string, size int64) *packReader {
	return &packReader{s.codecs, window{object: objectReader{ctx, s.objects, pack}, size: size}, make([]byte, maxChunk)}
}

// turn goes on with another pack.
func (r *packReader) turn(pack string, size int64) {
	w := &r.window
	w.object.name, w.size, w.off, w.buf = pack, size, 0, w.buf[:0]
}

var errBeyond = errors.New("beyond the end of the pack")

// read returns a chunk as it is stored, and as the guest has it; both are good until the next call. A chunk that is not
// what it should be is a *DamageError, any other error that of the reading.
func (r *packReader) read(e *Entry) (stored, chunk []byte, err error) {
	damaged := func(cause error) ([]byte, []byte, error) {
		return nil, nil, &DamageError{Object: r.window.object.name, Reason: "chunk " + e.Digest.String(), Cause: cause}
	}
	if !e.plausible() || e.Offset > r.window.size-int64(e.Stored) {
		return damaged(errBeyond)
	}
	stored, err = r.window.bytes(e.Offset, int(e.Stored))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged(err)
	}
	if err != nil {
		return nil, nil, err
	}
	chunk = r.chunk[:e.Length]
	if err := r.codecs.decode(chunk, stored, e.Codec, e.Digest); err != nil {
		return damaged(err)
	}
	return stored, chunk, nil
}

// copyTo copies a chunk, compressed as it is, into another pack.
func (r *packReader) copyTo(to *packWriter, e *Entry) error {
	stored, _, err := r.read(e)
	if err != nil {
		return err
	}
	to.note(e.Digest, len(stored), int(e.Length), e.Codec)
	return to.write(stored)
}

// reserve begins a pack that no import writes.
func (s *Store) reserve(ctx context.Context) (*packWriter, error) {
	name := newName(KindPack)
	if err := s.index.Reserve(ctx, name); err != nil {
		return nil, err
	}
	return createPack(ctx, s.objects, name)
}
