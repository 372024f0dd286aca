package raw

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"ingot/internal/refusal"
)

// batch is how much is read at once to find zero pages. It is the most that one range of NextData holds.
const batch = 256 << 10

// Disk is a raw disk with random access. Its map is found by reading: a page of 4 KiB of zeros is a hole.
type Disk struct {
	r    io.ReaderAt
	file int64 // bytes of the file, from which the disk is padded to whole sectors

	buffers sync.Pool // *[]byte of batch bytes
}

// Open checks a file of size bytes, which must be known, by Check and Tail.
func Open(r io.ReaderAt, size int64) (*Disk, error) {
	if size < 0 {
		return nil, errors.New("raw: a file of unknown size has no random access")
	}
	d := &Disk{r: r, file: size}
	d.buffers.New = func() any { b := make([]byte, batch); return &b }
	head := make([]byte, min(size, HeadSize))
	if err := d.fill(head, 0); err != nil {
		return nil, err
	}
	if err := Check(head, size); err != nil {
		return nil, err
	}
	tail := make([]byte, sectorSize)
	if err := d.fill(tail, size-sectorSize); err != nil {
		return nil, err
	}
	if err := Tail(tail); err != nil {
		return nil, err
	}
	return d, nil
}

// Size is the guest disk's size in bytes: the file's, rounded up to whole sectors.
func (d *Disk) Size() int64 { return padded(d.file) }

// ReadAt reads guest bytes.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	if off >= d.Size() {
		return 0, io.EOF
	}
	n := min(int64(len(p)), d.Size()-off)
	if err := d.fill(p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// NextData reads on to the next page that is not zero.
func (d *Disk) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, errNegative
	}
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	for at := off &^ (pageSize - 1); at < d.Size(); at += batch {
		b := (*buf)[:min(batch, d.Size()-at)]
		if err := d.fill(b, at); err != nil {
			return 0, 0, err
		}
		if i, j := nextData(b, 0); i < j && at+int64(j) > off {
			return max(off, at+int64(i)), at + int64(j), nil
		}
	}
	return 0, 0, io.EOF
}

var errNegative = errors.New("raw: negative offset")

// fill reads p whole; what lies past the file's end, as far as the last sector reaches, is zeros.
func (d *Disk) fill(p []byte, off int64) error {
	in := p[:max(0, min(int64(len(p)), d.file-off))]
	n, err := d.r.ReadAt(in, off)
	if n == len(in) {
		clear(p[n:])
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refusal.New("raw_truncated", "The disk image is truncated: it ends before byte %d of %d. Copy or upload it "+
			"again.", off+int64(len(p)), d.file)
	}
	return fmt.Errorf("raw: read: %w", err)
}
