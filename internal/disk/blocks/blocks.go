// Package blocks reads a guest's disk that a file holds in blocks of one size, each anywhere in it or nowhere: VDI and VHDX.
package blocks

import (
	"errors"
	"io"
)

const (
	// Hole is where a block stands that has no place in the file. Byte 0 is the file's own.
	Hole = 0

	// maxRange bounds what NextData returns at once, and with it how far ahead it reads the map.
	maxRange = 1 << 30
)

var errNegative = errors.New("disk: negative offset")

// Map knows where blocks stand.
type Map interface {
	// Host returns the byte of the file that a block of the disk begins at, or Hole.
	Host(block int64) (int64, error)
}

// Disk is the guest's disk. Its methods may be called by several goroutines at once, if Map's and Read may.
type Disk struct {
	Bits    uint  // a block has 1<<Bits bytes
	Size    int64 // bytes, at least one
	Map     Map
	Read    func(p []byte, off int64) error // fills p from the file
	Release func(off, n int64)              // is told what of the file has been read; nil: nobody wants to know
}

// NextData returns the first range of blocks that have data at or after off, adjacent ones as one of about 1 GiB at
// most. With none left it returns io.EOF. It reads only the map, and no further than it must.
func (d *Disk) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errNegative
	}
	if off >= d.Size {
		return 0, 0, io.EOF
	}
	first, err := d.present(off>>d.Bits, d.count())
	if err != nil {
		return 0, 0, err
	}
	start = max(off, first<<d.Bits)
	for last := first + 1; ; last++ {
		end = min(last<<d.Bits, d.Size)
		if end == d.Size || end-start >= maxRange {
			return start, end, nil
		}
		if host, err := d.Map.Host(last); err != nil {
			return 0, 0, err
		} else if host == Hole {
			return start, end, nil
		}
	}
}

// count is the number of blocks that the disk has.
func (d *Disk) count() int64 { return (d.Size-1)>>d.Bits + 1 }

// present returns the first block from one on, below limit, that has a place in the file.
func (d *Disk) present(block, limit int64) (int64, error) {
	for ; block < limit; block++ {
		host, err := d.Map.Host(block)
		if err != nil {
			return 0, err
		}
		if host != Hole {
			return block, nil
		}
	}
	return 0, io.EOF
}

// ReadAt reads guest bytes, with one read of the file for each run of them that is contiguous there.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	if off >= d.Size {
		return 0, io.EOF
	}
	want := p
	if int64(len(p)) > d.Size-off {
		want = p[:d.Size-off]
	}
	for n := 0; n < len(want); {
		host, length, err := d.run(off+int64(n), int64(len(want)-n))
		if err != nil {
			return n, err
		}
		part := want[n : n+int(length)]
		if host == Hole {
			clear(part)
		} else if err := d.payload(part, host); err != nil {
			return n, err
		}
		n += len(part)
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// run returns where the guest's byte at off stands in the file, or Hole, and how many of the limit bytes from there
// follow without a break.
func (d *Disk) run(off, limit int64) (host, length int64, err error) {
	size := int64(1) << d.Bits
	block, inside := off>>d.Bits, off&(size-1)
	first, err := d.Map.Host(block)
	if err != nil {
		return 0, 0, err
	}
	length = size - inside
	for ; length < limit; length += size {
		block++
		follows := int64(Hole)
		if first != Hole {
			follows = first + inside + length
		}
		if next, err := d.Map.Host(block); err != nil {
			return 0, 0, err
		} else if next != follows {
			break
		}
	}
	if first != Hole {
		first += inside
	}
	return first, min(length, limit), nil
}

func (d *Disk) payload(p []byte, host int64) error {
	if err := d.Read(p, host); err != nil {
		return err
	}
	if d.Release != nil {
		d.Release(host, int64(len(p)))
	}
	return nil
}
