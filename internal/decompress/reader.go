// Package decompress knows gzip and bzip2: to bytes, on all cores, under a limit of bytes, and by name what else a
// file may be wrapped in.
package decompress

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
)

// decoder gives the decompressed file in pieces, which it makes ahead of whoever asks for them.
type decoder interface {
	// next returns a piece that is valid until the next call, and after the last one io.EOF.
	next() ([]byte, error)
}

// Reader gives a file's bytes without the wrapper. It is for one goroutine at a time, but for Close.
type Reader struct {
	compression string
	limit       int64
	cancel      context.CancelCauseFunc
	decoder     decoder

	piece []byte // of the decoder's, what has not been read
	head  []byte // the first bytes, as long as they are too few to recognise a further wrapper
	known bool   // that there is none
	out   int64  // bytes that the decoder gave
	err   error  // what comes after piece
}

// NewReader looks at the first bytes of r to see what it is wrapped in, and decompresses it in goroutines of its own
// until ctx or the Reader ends. What comes out must be smaller than limit bytes. A wrapper that is not accepted, one
// in another, broken data and too much of it are refused with a *refusal.Error; an error of r is passed on, wrapped.
//
// Neither Close nor an error waits for a Read of r that is under way or about to be: whoever closes r ends that.
func NewReader(ctx context.Context, r io.Reader, limit int64) (*Reader, error) {
	head, err := io.ReadAll(io.LimitReader(r, HeadSize))
	if err != nil {
		return nil, fmt.Errorf("reading the first bytes of the file: %w", err)
	}
	if err := Unsupported(head); err != nil {
		return nil, err
	}
	var whole io.Reader = bytes.NewReader(head)
	if len(head) == HeadSize {
		whole = io.MultiReader(whole, r)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	d := &Reader{compression: compressionOf(head), limit: limit, cancel: cancel}
	switch d.compression {
	case Gzip:
		d.decoder = newGzip(ctx, whole)
	case Bzip2:
		d.decoder = newBzip2(ctx, whole)
	default:
		d.known = true
		d.decoder = newPlain(ctx, whole)
	}
	return d, nil
}

// Compression is what the file is wrapped in: None, Gzip or Bzip2.
func (r *Reader) Compression() string { return r.compression }

func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.fill(); len(r.piece) == 0 {
		return 0, r.err
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// WriteTo hands the rest to w in large pieces and without a copy.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if r.fill(); len(r.piece) == 0 {
			if r.err == io.EOF {
				return total, nil
			}
			return total, r.err
		}
		n, err := w.Write(r.piece)
		total += int64(n)
		r.piece = r.piece[n:]
		if err != nil {
			return total, err
		}
	}
}

// Close ends the work ahead. It may be called at any time and more than once.
func (r *Reader) Close() error {
	r.cancel(fs.ErrClosed)
	return nil
}

// fill gets the next piece, if there is none and one comes before r.err.
func (r *Reader) fill() {
	for len(r.piece) == 0 && r.err == nil {
		piece, err := r.decoder.next()
		if err == nil {
			piece, err = r.within(piece)
		}
		if !r.known {
			piece, err = r.recognise(piece, err)
		}
		if r.piece, r.err = piece, err; err != nil {
			r.cancel(err)
		}
	}
}

// within cuts a piece at the limit.
func (r *Reader) within(piece []byte) ([]byte, error) {
	r.out += int64(len(piece))
	over := r.out - (r.limit - 1)
	if over <= 0 {
		return piece, nil
	}
	return piece[:max(0, int64(len(piece))-over)], tooLarge(r.limit, r.compression)
}

// recognise refuses a further wrapper, and holds the first bytes back until there are enough of them to tell.
func (r *Reader) recognise(piece []byte, err error) ([]byte, error) {
	if len(r.head) > 0 || len(piece) < HeadSize {
		r.head = append(r.head, piece...)
		piece = r.head
		if len(piece) < HeadSize && err == nil {
			return nil, nil
		}
	}
	r.known = true
	if nested := Nested(piece[:min(len(piece), HeadSize)]); nested != nil {
		return nil, nested
	}
	return piece, err
}
