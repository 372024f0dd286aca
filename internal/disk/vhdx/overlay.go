package vhdx

import (
	"io"
	"slices"
	"sort"
	"sync/atomic"
)

// overlay is a file with the updates of its log over it.
type overlay struct {
	base    io.ReaderAt
	log     *ring
	flushed int64        // the file has at least this many bytes, or it has been cut short
	seen    atomic.Int64 // so many bytes of the file were there
	end     int64        // the replayed file has at least this many

	patches []patch // oldest first
	bounds  []int64 // ascending: segment i is [bounds[i], bounds[i+1])
	owner   []int32 // the newest patch of each segment, or none
}

// patch is one update: a sector of the log, or zeros.
type patch struct {
	span
	data int32 // sector of the log, or noData
}

const (
	noData = -1
	none   = -1
)

// index finds out which patch a byte comes from, newest first, in n log n for n patches: a log may hold very many
// that all lie one over the other.
func (o *overlay) index() {
	for _, p := range o.patches {
		o.bounds = append(o.bounds, p.start, p.end)
	}
	slices.Sort(o.bounds)
	o.bounds = slices.Compact(o.bounds)
	o.owner = make([]int32, len(o.bounds))
	free := make([]int32, len(o.bounds)+1) // the first segment at or after i without an owner, found by following
	for i := range o.owner {
		o.owner[i] = none
		free[i] = int32(i)
	}
	free[len(o.bounds)] = int32(len(o.bounds))
	for n, p := range slices.Backward(o.patches) {
		last, _ := slices.BinarySearch(o.bounds, p.end)
		i, _ := slices.BinarySearch(o.bounds, p.start)
		for i = find(free, i); i < last; i = find(free, i) {
			o.owner[i] = int32(n)
			free[i] = int32(i + 1)
		}
	}
}

// find follows free from i and shortens the way for those who come after.
func find(free []int32, i int) int {
	for int(free[i]) != i {
		if next := free[i]; free[next] != next {
			free[i] = free[next]
		}
		i = int(free[i])
	}
	return i
}

// apply writes the updates over p, the file's bytes from off on.
func (o *overlay) apply(p []byte, off int64) {
	end := off + int64(len(p))
	i := sort.Search(len(o.bounds), func(i int) bool { return o.bounds[i] > off })
	for i = max(i-1, 0); i+1 < len(o.bounds) && o.bounds[i] < end; i++ {
		from, to := max(o.bounds[i], off), min(o.bounds[i+1], end)
		if o.owner[i] == none || from >= to {
			continue
		}
		part := p[from-off : to-off]
		if u := o.patches[o.owner[i]]; u.data == noData {
			clear(part)
		} else {
			copy(part, o.log.sector(int(u.data))[from-u.start:])
		}
	}
}
