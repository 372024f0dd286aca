package export

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A range is written in windows: the next ones are read, and so decompressed and verified, on other cores while one
// is on its way to the client. Windows are aligned, so that two of them share few chunks of the store.
const (
	windowSize   = 1 << 20
	windowsAhead = 2
	zeroSize     = 256 << 10
)

var zeros [zeroSize]byte // never written, so it costs no memory either

// window is one piece of a range.
type window struct {
	off, length int64
	buf         []byte        // nil for a hole
	ready       chan struct{} // closed when buf is filled, or err is set
	err         error
}

// WriteRange writes n bytes of the file, from off on, to w in order. Holes are written without being read, and what
// was written before an error is right.
func (f *File) WriteRange(ctx context.Context, w io.Writer, off, n int64) error {
	if off < 0 || n < 0 || off > f.Size()-n {
		return fmt.Errorf("%d bytes at %d are not in a file of %d", n, off, f.Size())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *window, windowsAhead-1)
	go f.readAhead(ctx, queue, off, off+n)
	var err error
	for win := range queue {
		<-win.ready
		if err == nil {
			err = f.write(ctx, w, win)
		}
		if err != nil {
			cancel() // and wait for the reads under way: nobody may use the disk once this has returned
		}
		f.e.release(win)
	}
	if err == nil {
		err = ctx.Err() // the last windows may be missing
	}
	return err
}

func (f *File) write(ctx context.Context, w io.Writer, win *window) error {
	if err := errors.Join(win.err, ctx.Err()); err != nil {
		return err
	}
	if win.buf != nil {
		_, err := w.Write(win.buf)
		return err
	}
	for left := win.length; left > 0; left -= zeroSize {
		if _, err := w.Write(zeros[:min(left, zeroSize)]); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// readAhead cuts [off, end) into windows and starts to read each, as far ahead as the queue has room.
func (f *File) readAhead(ctx context.Context, queue chan<- *window, off, end int64) {
	defer close(queue)
	for off < end && ctx.Err() == nil {
		win := f.next(off, end)
		off += win.length
		if win.buf != nil {
			go f.read(win)
		}
		queue <- win // the other end takes every window, even after an error
	}
}

// next returns the window at off: up to the next boundary, or as much as is a hole.
func (f *File) next(off, end int64) *window {
	win := &window{off: off, ready: make(chan struct{})}
	start, _, err := f.bytes.NextData(off)
	if errors.Is(err, io.EOF) {
		start, err = end, nil
	}
	if boundary := min(off-off%windowSize+windowSize, end); err != nil || start < boundary {
		win.length, win.err = boundary-off, err
	} else {
		win.length = min(start, end) - off
	}
	if err != nil || start >= off+win.length {
		close(win.ready)
		return win
	}
	win.buf = f.e.buffer(win.length)
	return win
}

func (f *File) read(win *window) {
	defer close(win.ready)
	if n, err := f.bytes.ReadAt(win.buf, win.off); int64(n) < win.length {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		win.err = fmt.Errorf("read %d bytes of the file at %d: %w", win.length, win.off, err)
	}
}

func (e *Exporter) buffer(n int64) []byte {
	if n < windowSize {
		return make([]byte, n)
	}
	if b, ok := e.buffers.Get().(*[windowSize]byte); ok {
		return b[:]
	}
	return new([windowSize]byte)[:]
}

func (e *Exporter) release(win *window) {
	if len(win.buf) == windowSize {
		e.buffers.Put((*[windowSize]byte)(win.buf))
	}
}
