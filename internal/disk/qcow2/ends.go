package qcow2

import "sync"

// maxOpenEnds bounds the sectors that are known to be read in part; beyond it, sectors are kept for good. Some 40 bytes each.
const maxOpenEnds = 1 << 16

// ends knows of the sectors in which one compressed stream ends and the next begins how much has been read. A sector of
// which all has been read is given back; a stream that claims bytes of it all the same shares them with another.
type ends struct {
	mu     sync.Mutex
	open   map[int64]end // by sector
	closed bitmap        // sectors that were given back
}

// end says which bytes of a sector were read: those before head and those from tail on.
type end struct{ head, tail int64 }

// cover notes that the stream in bytes [from, to) of the file was read, and returns the whole sectors, as bytes, that
// nobody needs any more for it. Empty where there are none.
func (e *ends) cover(from, to int64) (int64, int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, last := from/sectorSize, to/sectorSize // last is the first one that is not read to its end
	if first == last {
		if e.part(first, from%sectorSize, to%sectorSize) {
			last++
		}
		return first * sectorSize, last * sectorSize
	}
	if from%sectorSize != 0 && !e.part(first, from%sectorSize, sectorSize) {
		first++
	} else {
		e.closed.set(first, first+1)
	}
	if to%sectorSize != 0 && e.part(last, 0, to%sectorSize) {
		last++
	}
	return first * sectorSize, last * sectorSize
}

// part notes that bytes [from, to) of a sector were read, and reports whether that completes it. Pieces from the midst
// of what was not read are not remembered.
func (e *ends) part(sector, from, to int64) bool {
	x, known := e.open[sector]
	if !known {
		x = end{tail: sectorSize}
	}
	if from <= x.head {
		x.head = max(x.head, to)
	}
	if to >= x.tail {
		x.tail = min(x.tail, from)
	}
	if x.head >= x.tail {
		delete(e.open, sector)
		e.closed.set(sector, sector+1)
		return true
	}
	if e.open == nil {
		e.open = map[int64]end{}
	}
	if known || len(e.open) < maxOpenEnds {
		e.open[sector] = x
	}
	return false
}

// gaveBack reports whether the first or the last sector of [from, to) was given back.
func (e *ends) gaveBack(from, to int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, last := from/sectorSize, (to-1)/sectorSize
	return e.closed.any(first, first+1) || e.closed.any(last, last+1)
}
