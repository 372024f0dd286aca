package raw

import (
	"errors"
	"sort"
	"sync"
)

const (
	blockSize = 1 << 20

	// maxBlocks ends a walk that reads nothing of what it is told: 256 MiB unread.
	maxBlocks = 256
)

var (
	errGone   = errors.New("raw: these bytes of a stream were read before and are gone")
	errAhead  = errors.New("raw: these bytes of a stream are not in a range that NextData has returned")
	errUnread = errors.New("raw: a stream was followed for 256 MiB of data without reading it")
)

// window is the data of a stream that was found and not read yet.
type window struct {
	mu     sync.Mutex
	held   []*held // what was returned, in order; the first is not all claimed
	end    int64   // guest offset up to which the walk was told what is data
	gone   int64   // end of the last range that was dropped
	blocks int     // that exist
	limit  int     // the most that may
	free   []*block
}

// held is a range of guest bytes, all of them data, in a block.
type held struct {
	start, end int64
	left       int // bytes that no read has claimed
	block      *block
	at         int // in the block
}

// block is memory that is filled with data from its start on.
type block struct {
	buf    []byte
	fill   int // whole pages, unless the file has ended
	left   int // bytes not yet copied out
	sealed bool
}

// take returns an empty block.
func (w *window) take() (*block, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.free); n > 0 {
		b := w.free[n-1]
		w.free = w.free[:n-1]
		return b, nil
	}
	if w.blocks == w.limit {
		return nil, errUnread
	}
	w.blocks++
	return &block{buf: make([]byte, blockSize)}, nil
}

// fill notes n more bytes of data in a block.
func (w *window) fill(b *block, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b.fill += n
	b.left += n
}

// seal ends the filling of a block, which may be nil: from now on it is free when it has been read.
func (w *window) seal(b *block) {
	if b == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b.sealed = true
	w.recycle(b)
}

func (w *window) recycle(b *block) {
	if b.sealed && b.left == 0 {
		b.fill, b.sealed = 0, false
		w.free = append(w.free, b)
	}
}

func (w *window) told() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// tell makes a range readable, and the hole before it; nil is the end of the disk.
func (w *window) tell(h *held, end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h != nil {
		w.held = append(w.held, h)
	}
	w.end = end
}

// read copies guest bytes at off to p, as far as one range or hole reaches, and returns their number. The copy is made
// without the lock: a block stays while any byte of it is not copied out.
func (w *window) read(p []byte, off int64) (int, error) {
	h, n, err := w.find(off, len(p))
	if err != nil {
		return 0, err
	}
	if h == nil {
		clear(p[:n])
		return n, nil
	}
	copy(p[:n], h.block.buf[h.at+int(off-h.start):])
	w.mu.Lock()
	defer w.mu.Unlock()
	h.block.left -= n
	w.recycle(h.block)
	return n, nil
}

// find returns the range that holds off, or nil for a hole, and how many of n bytes are in it. These are claimed.
func (w *window) find(off int64, n int) (*held, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if off < w.gone {
		return nil, 0, errGone
	}
	if off+int64(n) > w.end {
		return nil, 0, errAhead
	}
	i := sort.Search(len(w.held), func(i int) bool { return w.held[i].end > off })
	if i == len(w.held) {
		return nil, n, nil
	}
	h := w.held[i]
	if off < h.start {
		return nil, int(min(int64(n), h.start-off)), nil
	}
	n = int(min(int64(n), h.end-off))
	if n > h.left {
		return nil, 0, errGone
	}
	h.left -= n
	w.forget()
	return h, n, nil
}

// forget takes ranges that are all claimed off the list, in order, so that those read early still tell holes from
// what is gone.
func (w *window) forget() {
	for len(w.held) > 0 && w.held[0].left == 0 {
		w.gone = w.held[0].end
		w.held[0] = nil
		w.held = w.held[1:]
	}
}
