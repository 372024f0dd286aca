package qcow2

import (
	"errors"
	"io"
	"sync"

	"ingot/internal/refusal"
)

// maxRange bounds what NextData returns at once, so that it does not read all tables of a large disk before it returns.
const maxRange = 256 << 20

// walk is how far the map has been checked for host bytes that two have a claim on.
type walk struct {
	mu     sync.Mutex
	pos    int64 // guest bytes
	claims claims
	err    error // a refusal, told again
}

// NextData is disk.Disk's. It returns a range only after the whole map up to the range's end has been checked: no two
// guest clusters, and no cluster and table, share bytes of the file (ends of compressed streams share sectors, as the
// specification allows). So a walk that ends in io.EOF has checked everything, and one that begins in the middle
// checks what lies before first. Walkers wait for one another; readers do not wait for them.
//
// On a file that is still arriving it waits for what it needs to return something, and no longer: a range ends early
// where the next L2 table or the next stretch of data has not arrived. Otherwise a range may be up to 256 MiB long.
func (d *Disk) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errors.New("qcow2: NextData at a negative offset")
	}
	d.walk.mu.Lock()
	defer d.walk.mu.Unlock()
	start, end, err = d.scan(off)
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	end, bad := d.check(start, end)
	if bad != nil {
		return 0, 0, bad
	}
	return start, end, err
}

// scan finds the next range in the map. At the map's end it returns io.EOF and an empty range there.
func (d *Disk) scan(off int64) (start, end int64, err error) {
	for off < d.size {
		x, err := d.mapped(off, d.size)
		if err != nil {
			return 0, 0, err
		}
		if x.kind != hole {
			return x.start, d.extend(x), nil
		}
		off = x.end
	}
	return d.size, d.size, io.EOF
}

// extend returns the end of the range that begins with x. An error ends it: the next call meets the error again.
func (d *Disk) extend(x extent) int64 {
	// Ranges end where clusters do, wherever they begin: a cluster is claimed once and whole.
	limit := x.start&^(d.clusterSize-1) + maxRange
	limit = min(limit, d.size)
	for x.end < limit && d.atHand(x.end) {
		next, err := d.mapped(x.end, limit)
		if err != nil || next.kind == hole {
			break
		}
		x.end = next.end
	}
	return x.end
}

// mapped is extent for a walk: it refuses a table that lies in what has been claimed before it reads it. Those bytes may
// have been read and given back by now.
func (d *Disk) mapped(off, limit int64) (extent, error) {
	i := off / d.span
	if d.l1[i] != 0 && i*d.span >= d.walk.pos && d.walk.claims.any(d.l1[i], d.l1[i]+d.clusterSize) {
		return extent{}, d.tableTwice(i)
	}
	return d.extent(off, limit)
}

// atHand reports whether the map of guest byte off can be had without waiting for the file.
func (d *Disk) atHand(off int64) bool {
	i := off / d.span
	return d.l1[i] == 0 || d.src.here(d.l1[i]+d.clusterSize) || d.tables.has(i)
}

// check claims everything that the map has before end, and returns end; or, if it would have to wait for the file, less
// than end but more than start.
func (d *Disk) check(start, end int64) (int64, error) {
	w := &d.walk
	for w.err == nil && w.pos < end {
		x, err := d.mapped(w.pos, end)
		if err != nil {
			return 0, err
		}
		x = x.inPage()
		if !d.opened(x) {
			if w.pos > start {
				return w.pos, nil
			}
			if err := d.open(x); err != nil {
				return 0, err
			}
		}
		if w.err = d.claim(x); w.err == nil {
			w.pos = x.end
		}
	}
	return end, w.err
}

// inPage cuts a run of host bytes where the next page of claims begins.
func (x extent) inPage() extent {
	if x.kind == data {
		x.length = min(x.length, pageBytes-x.host%pageBytes)
		x.end = x.start + x.length
	}
	return x
}

// opened reports whether x can be claimed without waiting for the file, and makes memory for it if so.
func (d *Disk) opened(x extent) bool {
	c := &d.walk.claims
	if x.kind == hole {
		return true
	}
	for _, off := range x.ends() {
		if c.opened(off) {
			continue
		}
		if !d.src.here(off + 1) {
			return false
		}
		c.open(off)
	}
	return true
}

// open waits for the file to have x.
func (d *Disk) open(x extent) error {
	for _, off := range x.ends() {
		if err := d.src.reach(off+1, "guest data"); err != nil {
			return err
		}
		d.walk.claims.open(off)
	}
	return nil
}

// ends returns a byte in the first and one in the last page of claims that x touches, both of which the file must have.
func (x extent) ends() [2]int64 {
	if x.kind == data {
		return [2]int64{x.host, x.host}
	}
	return [2]int64{x.host, x.least() - 1}
}

// claim claims x, and the L2 table that x begins.
func (d *Disk) claim(x extent) error {
	c := &d.walk.claims
	if i := x.start / d.span; x.start%d.span == 0 && d.l1[i] != 0 {
		c.open(d.l1[i]) // it has been read, so the file has it
		if c.claim(d.l1[i], d.l1[i]+d.clusterSize) != granted {
			return d.tableTwice(i)
		}
	}
	switch {
	case x.kind == data && c.claim(x.host, x.host+x.length) == taken:
		return d.shared(x)
	case x.kind == compressed:
		return d.claimStream(x)
	}
	return nil
}

func (d *Disk) tableTwice(i int64) error {
	return refusal.New("qcow2_table_twice", "The L2 table at byte %d of the file, for guest byte %d, is also "+
		"another table or holds guest data. %s", d.l1[i], i*d.span, adviceRepair)
}

func (d *Disk) claimStream(x extent) error {
	switch d.walk.claims.claimStream(x.host, x.length) {
	case taken:
		return d.shared(x)
	case tooMany:
		return refusal.New("qcow2_tiny_clusters", "The image has more than %d compressed clusters of less than %d bytes, and "+
			"they lie in the file in another order than on the disk. Make one with larger clusters: `qemu-img convert -O qcow2 -o cluster_size=64k IMAGE NEW`.", maxTiny, sectorSize)
	}
	return nil
}

// shared says with what x collides: a table, or other guest data.
func (d *Disk) shared(x extent) error {
	for _, off := range d.l1 {
		if off != 0 && off < x.host+x.length && x.host < off+d.clusterSize {
			return refusal.New("qcow2_metadata_overlap", "Guest byte %d is mapped to byte %d of the file, inside an L2 table. %s",
				x.start, x.host, adviceRepair)
		}
	}
	return refusal.New("qcow2_cluster_twice", "Guest byte %d is mapped to byte %d of the file, which another part of the "+
		"disk is mapped to. %s", x.start, x.host, adviceConvert)
}
