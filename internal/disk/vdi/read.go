package vdi

import (
	"errors"
	"io"
)

// maxRange bounds what NextData returns at once, and with it how far ahead it reads the block map.
const maxRange = 1 << 30

var errNegative = errors.New("vdi: negative offset")

// NextData returns the first range of blocks that have data at or after off, adjacent ones as one of about 1 GiB at
// most. With none left it returns io.EOF. It reads only the block map, and no further than it must.
func (d *Disk) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errNegative
	}
	if off >= d.size {
		return 0, 0, io.EOF
	}
	first, err := d.present(off>>blockBits, d.table.count())
	if err != nil {
		return 0, 0, err
	}
	start = max(off, first<<blockBits)
	for last := first + 1; ; last++ {
		end = min(last<<blockBits, d.size)
		if end == d.size || end-start >= maxRange {
			return start, end, nil
		}
		if host, err := d.table.host(last); err != nil {
			return 0, 0, err
		} else if host == hole {
			return start, end, nil
		}
	}
}

// present returns the first block from one on, below limit, that has a place in the file.
func (d *Disk) present(block, limit int64) (int64, error) {
	for ; block < limit; block++ {
		host, err := d.table.host(block)
		if err != nil {
			return 0, err
		}
		if host != hole {
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
	if off >= d.size {
		return 0, io.EOF
	}
	want := p
	if int64(len(p)) > d.size-off {
		want = p[:d.size-off]
	}
	for n := 0; n < len(want); {
		host, length, err := d.run(off+int64(n), int64(len(want)-n))
		if err != nil {
			return n, err
		}
		part := want[n : n+int(length)]
		if host == hole {
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

// run returns where the guest's byte at off stands in the file, or hole, and how many of the limit bytes from there
// follow without a break.
func (d *Disk) run(off, limit int64) (host, length int64, err error) {
	block, inside := off>>blockBits, off&(blockSize-1)
	first, err := d.table.host(block)
	if err != nil {
		return 0, 0, err
	}
	length = blockSize - inside
	for ; length < limit; length += blockSize {
		block++
		follows := int64(hole)
		if first != hole {
			follows = first + inside + length
		}
		if next, err := d.table.host(block); err != nil {
			return 0, 0, err
		} else if next != follows {
			break
		}
	}
	if first != hole {
		first += inside
	}
	return first, min(length, limit), nil
}

func (d *Disk) payload(p []byte, host int64) error {
	if err := d.file.read(p, host, "data"); err != nil {
		return err
	}
	if d.release != nil {
		d.release(host, int64(len(p)))
	}
	return nil
}
