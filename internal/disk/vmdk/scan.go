package vmdk

import "sync"

// scan is how far a stream's markers were followed. A step that fails leaves it where it was, so that the next one
// meets the same marker.
type scan struct {
	mu        sync.Mutex
	at        int64 // sector of the next marker
	last      int64 // last grain in the guest's order seen; -1: none
	count     int64 // grains seen
	unordered bool  // grains do not ascend: none is decided before the end
	done      bool
	marker    [sectorSize]byte // being followed

	directories []int64 // sectors of the grain directories seen, the redundant one included
	tables      []int64 // sectors of the grain tables seen, those of the redundant directory included
	footer      int64   // the directory's sector as the footer has it; 0: not seen
}

// probeGrains are seen before any is decided: a writer that does not keep the order shows it early, while the end can
// still be waited for. Once a hole has been told to a caller, a grain in it can only be refused.
const probeGrains = 32

// seen is the number of grains, from the first, that the markers have decided.
func (s *scan) seen(total int64) int64 {
	switch {
	case s.done:
		return total
	case s.unordered || s.count < probeGrains:
		return 0
	}
	return s.last + 1
}

// scanRun is nextRun while markers are still to be followed. What it returns, and every hole before it, is decided
// from then on.
func (d *Disk) scanRun(g int64) (first, last int64, err error) {
	s := d.scan
	s.mu.Lock()
	defer s.mu.Unlock()
	for first = g; ; {
		first = d.nextMapped(first, max(first, s.seen(d.grains)))
		if first < s.seen(d.grains) || s.done {
			break
		}
		if err := d.step(); err != nil {
			return 0, 0, err
		}
	}
	last = first
	for limit := d.runLimit(first); last < limit; {
		if last < s.seen(d.grains) {
			if d.place(last) == 0 {
				break
			}
			last++
		} else if err := d.step(); err != nil {
			return 0, 0, err
		}
	}
	if s.unordered { // read to its end by now: a grain before first may have come to light
		first, last = d.mappedRun(g)
	}
	d.decide(last)
	return first, last, nil
}

// reach follows the markers until all grains before g are decided.
func (d *Disk) reach(g int64) error {
	if d.decided.Load() >= g {
		return nil
	}
	s := d.scan
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.seen(d.grains) < g {
		if err := d.step(); err != nil {
			return err
		}
	}
	d.decide(g)
	return nil
}

// decide publishes what was scanned before grain g; the scan's lock must be held. From then on the tables' entries
// before g do not change, and are read without the lock.
func (d *Disk) decide(g int64) {
	if d.scan.done {
		g = d.grains
	}
	if g > d.decided.Load() {
		d.decided.Store(g)
	}
}
