package vmdk

import "sync"

// releaser is what a file that arrives may have: it takes back bytes that will not be read again.
type releaser interface {
	Release(off, n int64)
}

// ReadOnce promises that each guest byte is read at most once from now on. If the file takes bytes back (it has a
// method Release(off, n int64)), it gets those of every grain once all of the grain has been read. Metadata is never
// given back. ReadOnce must come before the first ReadAt.
func (d *Disk) ReadOnce() {
	d.released.to, _ = d.r.(releaser)
}

type released struct {
	to releaser // nil: nothing is given back

	mu      sync.Mutex
	partial map[int64]int64 // compressed grain: guest bytes read, while they are fewer than it has
}

func (r *released) give(off, n int64) {
	if r.to != nil && n > 0 {
		r.to.Release(off, n)
	}
}

// whole notes that n of a compressed grain's length guest bytes were read, and reports whether that was the rest: two
// readers may share a grain, and the one that is done first must not take it from the other.
func (r *released) whole(g, n, length int64) bool {
	if r.to == nil || n == length {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.partial == nil {
		r.partial = make(map[int64]int64)
	}
	r.partial[g] += n
	if r.partial[g] < length {
		return false
	}
	delete(r.partial, g)
	return true
}
