// Package vhdx reads Hyper-V's virtual hard disks, version 2 ([MS-VHDX]): dynamic and fixed ones, and replays their
// log in memory. It never opens a parent: a differencing disk is refused.
package vhdx

import (
	"bytes"
	"io"

	"ingot/internal/disk/blocks"
	"ingot/internal/refusal"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

const signature = "vhdxfile"

// Match reports whether the first bytes of a file, at least 8, say VHDX ([MS-VHDX] 2.2.1).
func Match(head []byte) bool {
	return bytes.HasPrefix(head, []byte(signature))
}

// Disk is the guest's disk in a VHDX file. Its methods may be called by several goroutines at once.
type Disk struct {
	base   io.ReaderAt // what Open was given; the log may lie over it
	blocks blocks.Disk
}

// Open reads the headers, replays the log in memory if it must be, and reads the region and metadata tables; the
// block allocation table is read later, where it is needed. r gives the file's bytes, and size is their number, or -1
// if that is not known yet: then r returns io.EOF past the end.
//
// What cannot be read as a disk is a *refusal.Error; an error of r itself is passed on wrapped.
func Open(r io.ReaderAt, size int64) (*Disk, error) {
	file := source{r: r, size: size}
	if err := checkSignature(file); err != nil {
		return nil, err
	}
	head, err := readHeader(file)
	if err != nil {
		return nil, err
	}
	// The region table, the metadata and the BAT may all be out of date before the log is replayed.
	if file, err = replay(file, head); err != nil {
		return nil, err
	}
	regions, err := readRegions(file, head)
	if err != nil {
		return nil, err
	}
	g, err := readGeometry(file, regions.metadata)
	if err != nil {
		return nil, err
	}
	bat, err := newTable(file, g, regions)
	if err != nil {
		return nil, err
	}
	return &Disk{base: r, blocks: blocks.Disk{Bits: bat.blockBits, Size: g.size, Map: bat, Read: file.payload}}, nil
}

// NextData returns the first range of present blocks at or after off, adjacent ones as one of about 1 GiB at most.
// With none left it returns io.EOF. It reads only the block allocation table, and no further than it must.
func (d *Disk) NextData(off int64) (start, end int64, err error) { return d.blocks.NextData(off) }

// ReadAt reads guest bytes, with one read of the file for each run of them that is contiguous there.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) { return d.blocks.ReadAt(p, off) }

func checkSignature(file source) error {
	var head [len(signature)]byte
	if err := file.read(head[:], 0, "file identifier"); err != nil {
		return err
	}
	if !Match(head[:]) {
		return refusal.New("vhdx_signature",
			"The file does not start with the signature of a VHDX disk. Look at what it is with: qemu-img info IMAGE")
	}
	return nil
}

// Size is the guest disk's size in bytes: at most 64 TiB, and not bounded by the file's size.
func (d *Disk) Size() int64 { return d.blocks.Size }

// ReadOnce says that every guest byte will be read at most once from now on. If the io.ReaderAt that Open was given
// has a method Release(off, n int64), each range of the file that a ReadAt has read payload from is then handed to
// it, and may be given back. Call it before the first ReadAt.
func (d *Disk) ReadOnce() {
	if r, ok := d.base.(interface{ Release(off, n int64) }); ok {
		d.blocks.Release = r.Release
	}
}
