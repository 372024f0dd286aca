package spool

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	block       = 4 << 10 // unit of what is given back
	extent      = 1 << 20 // unit of a punch
	perExtent   = extent / block
	wordsExtent = perExtent / 64
	maxParts    = 1 << 16 // blocks released in part that are remembered: about 3 MiB
)

// ledger notes which blocks were released: a bit for each, 3 MB for 100 GB.
type ledger struct {
	mu    sync.RWMutex
	used  atomic.Bool // false: nothing was ever released
	full  []uint64
	parts map[int64]part
}

// part says which bytes of a block were released: those before head and those from tail on.
type part struct{ head, tail int64 }

// Release says that n bytes at off are not read again. Their space goes back to the disk when all blocks of 4 KiB of
// a mebibyte were released, be it piece by piece and in any order. What has not arrived yet is not released; a block
// whose pieces come in no order may be kept.
func (s *Spool) Release(off, n int64) {
	if have := s.arrived.Load(); n > have-off {
		n = have - off
	}
	if off < 0 || n <= 0 {
		return
	}
	var start, end int64 // extents in the file that this call completed, not punched yet
	for _, e := range s.given.add(off, off+n) {
		if s.memory.drop(e) {
			continue
		}
		if e != end {
			s.punch(start, end)
			start = e
		}
		end = e + 1
	}
	s.punch(start, end)
}

// punch gives whole extents back. An error only means that the disk keeps them until Close.
func (s *Spool) punch(start, end int64) {
	if start < end && !s.keeps.Load() && punch(s.file, start*extent, (end-start)*extent) != nil {
		s.keeps.Store(true)
	}
}

// add marks the bytes of [off, end) and returns the extents that became complete by it, in order.
func (l *ledger) add(off, end int64) (complete []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used.Store(true)
	for at := off; at < end; {
		e := at / extent
		stop := min(end, (e+1)*extent)
		if l.grow(e); !l.complete(e) {
			l.addBlocks(at, stop)
			if l.complete(e) {
				complete = append(complete, e)
			}
		}
		at = stop
	}
	return complete
}

func (l *ledger) grow(e int64) {
	if need := int(e+1) * wordsExtent; need > len(l.full) {
		l.full = append(l.full, make([]uint64, need-len(l.full))...)
	}
}

func (l *ledger) complete(e int64) bool {
	for _, w := range l.full[e*wordsExtent : (e+1)*wordsExtent] {
		if w != ^uint64(0) {
			return false
		}
	}
	return true
}

func (l *ledger) isComplete(e int64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int(e+1)*wordsExtent <= len(l.full) && l.complete(e)
}

// blocks returns a bit for each block of an extent that was released.
func (l *ledger) blocks(e int64) (given [wordsExtent]uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if at := int(e) * wordsExtent; at < len(l.full) {
		copy(given[:], l.full[at:])
	}
	return given
}

func (l *ledger) addBlocks(at, stop int64) {
	for at < stop {
		b := at / block
		next := min(stop, (b+1)*block)
		if next-at == block || l.addPart(b, at-b*block, next-b*block) {
			l.full[b/64] |= 1 << (b % 64)
		}
		at = next
	}
}

// addPart notes a piece of a block and says whether the block is released whole by now.
func (l *ledger) addPart(b, from, to int64) bool {
	p, known := l.parts[b]
	if !known {
		p = part{tail: block}
	}
	switch {
	case from <= p.head:
		p.head = max(p.head, to)
	case to >= p.tail:
		p.tail = min(p.tail, from)
	}
	if p.head >= p.tail {
		delete(l.parts, b)
		return true
	}
	if l.parts == nil {
		l.parts = make(map[int64]part)
	}
	if known || len(l.parts) < maxParts {
		l.parts[b] = p
	}
	return false
}

// released says whether any block that [off, end) touches was released whole.
func (l *ledger) released(off, end int64) bool {
	if !l.used.Load() || off >= end {
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	first, last := off/block, (end-1)/block
	for w := first / 64; w <= last/64 && w < int64(len(l.full)); w++ {
		mask := ^uint64(0)
		if w == first/64 {
			mask <<= first % 64
		}
		if w == last/64 {
			mask &= ^uint64(0) >> (63 - last%64)
		}
		if bits.OnesCount64(l.full[w]&mask) > 0 {
			return true
		}
	}
	return false
}
