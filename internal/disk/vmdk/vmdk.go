// Package vmdk reads VMware virtual disks that are one file: monolithicSparse, whose grains stand plain in the file,
// and streamOptimized, whose grains are compressed and carry their own address, so that they convert while the file
// still arrives. Facts come from VMware's "Virtual Disk Format 5.0", named by section where they are used.
package vmdk

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"ingot/internal/refusal"
)

const (
	sectorSize   = 512
	tableEntries = 512 // grain table entries in a grain table; the format allows others, no known writer uses them
	tableSectors = tableEntries * 4 / sectorSize

	// runBytes bounds what NextData merges: a stream's reader gets work before all of it has arrived.
	runBytes = 16 << 20
)

// Disk is the guest's disk in a VMDK file. Its methods may be called by several goroutines at once; ReadAt decodes
// in the caller's goroutine, so that several callers use several cores.
//
// Where the grain directory stands in front (every monolithicSparse file, streamOptimized as qemu-img writes it), it
// is read and checked by Open. Where it stands at the end, grains are found by their markers, forward, as far as a
// call needs: NextData waits for the marker after its range, ReadAt for that of the last grain it reads.
type Disk struct {
	r    io.ReaderAt
	size int64 // bytes of the file; -1: not known yet
	head header

	grains int64 // in the guest's disk, the last may be partial
	tables []atomic.Pointer[table]
	// decided is the number of grains, from the first, whose place a caller may look up and may have been told.
	decided atomic.Int64
	scan    *scan // nil where the directory was read by Open

	buffers  sync.Pool // *buffers
	released released
}

// table is a grain table with what is known of its grains. Where a table's pointer is nil, its grains are holes.
type table struct {
	place   [tableEntries]uint32  // sector of the grain or of its marker; 0: hole
	sectors *[tableEntries]uint16 // what a compressed grain takes in the file, or a bound of it; nil where grains are plain
}

// Match reports whether a file begins as a sparse extent does (section "Hosted Sparse Extents").
func Match(head []byte) bool {
	return len(head) >= 4 && string(head[:4]) == magic
}

// Open reads the header, the embedded descriptor and, where it stands in front, the grain directory. size is the
// file's in bytes, or -1 while that is not known: then the end of the file is where r returns io.EOF. What is not
// read, or is damaged, is a *refusal.Error; other errors are r's.
//
// accept, if it is not nil, is asked what the disk's size will be before the directory is read and gets memory, and its
// error is Open's.
//
// The redundant grain directory is not read: it is a copy for repair, and a file whose first directory is damaged is
// refused. An unclean shutdown is accepted, as what was written is mapped or is not.
func Open(r io.ReaderAt, size int64, accept func(guestSize int64) error) (*Disk, error) {
	d := &Disk{r: r, size: size}
	var sector [sectorSize]byte
	if err := d.fill(sector[:], 0, "header"); err != nil {
		return nil, err
	}
	var err error
	if d.head, err = parseHeader(sector[:]); err != nil {
		return nil, err
	}
	if err := d.readDescriptor(); err != nil {
		return nil, err
	}
	if accept != nil {
		if err := accept(d.Size()); err != nil {
			return nil, err
		}
	}
	d.grains = (d.head.capacity + d.head.grain - 1) / d.head.grain
	d.tables = make([]atomic.Pointer[table], (d.grains+tableEntries-1)/tableEntries)
	d.buffers.New = func() any { return new(buffers) }
	if d.head.directory == directoryAtEnd {
		d.scan = &scan{at: d.head.overhead, last: -1}
		return d, nil
	}
	if err := d.loadDirectory(); err != nil {
		return nil, err
	}
	d.decided.Store(d.grains)
	return d, nil
}

// readDescriptor refuses a disk that is not all in this file. The descriptor is at most maxDescriptor sectors, so the
// buffer is bounded whatever the header says.
func (d *Disk) readDescriptor() error {
	text := make([]byte, d.head.descriptor*sectorSize)
	if err := d.fill(text, sectorSize, "descriptor"); err != nil {
		return err
	}
	desc, err := parseDescriptor(text)
	if err != nil {
		return err
	}
	return desc.check(d.head)
}

// Size is the guest disk's size in bytes: the header's capacity, as in qemu.
func (d *Disk) Size() int64 { return d.head.capacity * sectorSize }

// NextData returns ranges of whole grains, adjacent ones merged up to 16 MiB. For a stream whose directory stands at
// the end, io.EOF says that the markers, the directory, the footer and the end of the stream were there and agreed.
func (d *Disk) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errors.New("vmdk: negative offset")
	}
	g := off / d.grainBytes()
	if off >= d.Size() {
		g = d.grains
	}
	first, last, err := d.nextRun(g)
	if err != nil {
		return 0, 0, err
	}
	if first == d.grains {
		return 0, 0, io.EOF
	}
	return max(off, first*d.grainBytes()), min(last*d.grainBytes(), d.Size()), nil
}

// nextRun returns the first run [first, last) of mapped grains at or after g; first is d.grains where there is none.
func (d *Disk) nextRun(g int64) (first, last int64, err error) {
	if d.scan != nil {
		return d.scanRun(g)
	}
	first, last = d.mappedRun(g)
	return first, last, nil
}

// mappedRun is nextRun where all places are known.
func (d *Disk) mappedRun(g int64) (first, last int64) {
	first = d.nextMapped(g, d.grains)
	last = first
	for limit := d.runLimit(first); last < limit && d.place(last) != 0; {
		last++
	}
	return first, last
}

func (d *Disk) runLimit(first int64) int64 {
	return min(d.grains, first+runBytes/d.grainBytes())
}

// nextMapped returns the first grain in [g, limit) that is no hole, or limit.
func (d *Disk) nextMapped(g, limit int64) int64 {
	for g < limit {
		t := d.tables[g/tableEntries].Load()
		if t == nil {
			g = (g/tableEntries + 1) * tableEntries
			continue
		}
		if t.place[g%tableEntries] != 0 {
			return g
		}
		g++
	}
	return limit
}

func (d *Disk) grainBytes() int64 { return d.head.grain * sectorSize }

// length is the number of guest bytes in grain g: fewer in the last one where the disk ends within it.
func (d *Disk) length(g int64) int64 {
	return min(d.grainBytes(), d.Size()-g*d.grainBytes())
}

// place returns the sector of grain g in the file, 0 for a hole.
func (d *Disk) place(g int64) int64 {
	if t := d.tables[g/tableEntries].Load(); t != nil {
		return int64(t.place[g%tableEntries])
	}
	return 0
}

// sectors returns what compressed grain g takes in the file at most. The grain must be mapped.
func (d *Disk) sectors(g int64) int64 {
	return int64(d.tables[g/tableEntries].Load().sectors[g%tableEntries])
}

// table returns the table of grain g, making it where there is none.
func (d *Disk) table(g int64) *table {
	p := &d.tables[g/tableEntries]
	if p.Load() == nil {
		p.Store(d.newTable())
	}
	return p.Load()
}

func (d *Disk) newTable() *table {
	t := new(table)
	if d.head.compressed() {
		t.sectors = new([tableEntries]uint16)
	}
	return t
}

// fill reads p whole at a byte of the file. A file that ends before is truncated.
func (d *Disk) fill(p []byte, off int64, what string) error {
	n, err := d.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return truncated(what)
	}
	return fmt.Errorf("vmdk: read %s: %w", what, err)
}

func truncated(what string) error {
	return refusal.New("vmdk_truncated", "The VMDK file ends within its %s: it is incomplete. Copy or upload it again "+
		"and compare its size and checksum with the original's.", what)
}
