package decompress

import (
	"context"
	"io"
	"sync"

	"ingot/internal/inflate"
)

// margin is how many bytes peek can give in one piece whatever lies at the ring's end.
const margin = inflate.MinInput

// window is the stretch of the source that has been read and may still be needed, from low to high. One goroutine
// reads ahead of those who use it, until the window is full. Offsets count from the start of the source.
type window struct {
	src  io.Reader
	ring []byte // the byte at offset o is ring[o%size]
	tail []byte // ring, and the margin after it
	size int64

	mu      sync.Mutex
	changed sync.Cond
	low     int64
	high    int64
	end     error // what the source ended with: io.EOF or another; nil before
	closed  error // why nobody reads on
}

// newWindow starts to read src into a window of so many bytes.
func newWindow(ctx context.Context, src io.Reader, size int) *window {
	w := &window{src: src, size: int64(size), tail: make([]byte, size+margin)}
	w.ring = w.tail[:size]
	w.changed.L = &w.mu
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed = context.Cause(ctx)
		w.changed.Broadcast()
	})
	go w.fill()
	return w
}

func (w *window) fill() {
	for idle := 0; ; idle++ {
		free, ok := w.free()
		if !ok {
			return
		}
		n, err := w.read(free)
		if n > 0 {
			idle = 0
		}
		if idle == 100 {
			err = io.ErrNoProgress
		}
		w.mu.Lock()
		w.high += int64(n)
		w.end = err
		w.changed.Broadcast()
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (w *window) read(p []byte) (n int, err error) {
	defer recoverTo(&err)
	return w.src.Read(p)
}

// free waits for room and returns a piece of it; false when the window is closed.
func (w *window) free() ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.high-w.low == w.size && w.closed == nil {
		w.changed.Wait()
	}
	from := w.high % w.size
	room := min(w.size-from, w.size-(w.high-w.low), 256<<10)
	return w.ring[from : from+room], w.closed == nil
}

// peek returns bytes from low on, at least n (not above margin) unless the source ends before; last says that nothing
// follows them. It is for a window with one user; the bytes stay until release.
func (w *window) peek(n int) (b []byte, last bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.high-w.low < int64(n) && w.end == nil && w.closed == nil {
		w.changed.Wait()
	}
	if w.closed != nil {
		return nil, false, w.closed
	}
	have := w.high - w.low
	if have < int64(n) && w.end != io.EOF {
		return nil, false, w.end
	}
	from := w.low % w.size
	piece := min(have, w.size-from)
	if piece < have && piece < int64(n) {
		piece += int64(copy(w.tail[w.size:], w.ring[:have-piece]))
	}
	return w.tail[from : from+piece], piece == have && w.end == io.EOF, nil
}

// waits reports whether peek(n) would have to wait for the source.
func (w *window) waits(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.high-w.low < int64(n) && w.end == nil
}

// readAt copies what there is at an offset, a byte at least, and waits for it. Of the errors of the source it returns
// the one that stands in the way; below low it returns errPassed.
func (w *window) readAt(b []byte, off int64) (int, error) { return w.readWanted(b, off, nil) }

// readWanted is readAt until unwanted is closed and wake was called; then it returns errPassed, too.
func (w *window) readWanted(b []byte, off int64, unwanted <-chan struct{}) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.high <= off && w.end == nil && w.closed == nil && !closed(unwanted) {
		w.changed.Wait()
	}
	switch {
	case w.closed != nil:
		return 0, w.closed
	case off < w.low, closed(unwanted):
		return 0, errPassed
	case w.high <= off:
		return 0, w.end
	}
	b = b[:min(int64(len(b)), w.high-off)]
	from := off % w.size
	n := copy(b, w.ring[from:])
	n += copy(b[n:], w.ring)
	return n, nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wake has whoever waits look again whether he is wanted.
func (w *window) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed.Broadcast()
}

// readFull is readAt for the whole of b; at the end of the source n may be less and err is io.EOF.
func (w *window) readFull(b []byte, off int64) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = w.readAt(b[n:], off+int64(n))
		n += k
	}
	return n, err
}

// release gives up what lies before an offset.
func (w *window) release(off int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.low = max(w.low, off)
	w.changed.Broadcast()
}

// passed is the offset that was released last.
func (w *window) passed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.low
}

// arrived is how many bytes of the source were read.
func (w *window) arrived() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.high
}
