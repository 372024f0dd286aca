package vmdk

import (
	"errors"
	"fmt"
	"io"
)

// bufferBytes bounds how much of the file one read takes for compressed grains; each reader at work holds so much.
const bufferBytes = 1 << 20

// ReadAt reads guest bytes; holes read as zeros. Where the directory stands at the end it first follows the markers to
// the end of what is read, so a read far ahead waits for the file to arrive that far.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("vmdk: negative offset")
	}
	if off >= d.Size() {
		return 0, io.EOF
	}
	n := min(int64(len(p)), d.Size()-off)
	if n > 0 {
		if err := d.reach((off+n-1)/d.grainBytes() + 1); err != nil {
			return 0, err
		}
		if err := d.readAll(p[:n], off); err != nil {
			return 0, err
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (d *Disk) readAll(p []byte, off int64) error {
	for len(p) > 0 {
		var n int64
		var err error
		switch g := off / d.grainBytes(); {
		case d.place(g) == 0:
			n = min(int64(len(p)), (g+1)*d.grainBytes()-off)
			clear(p[:n])
		case d.head.compressed():
			n, err = d.readCompressed(p, off)
		default:
			n, err = d.readPlain(p, off)
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// readPlain reads grains that follow each other in the file too, and returns their guest bytes.
func (d *Disk) readPlain(p []byte, off int64) (int64, error) {
	first, within := off/d.grainBytes(), off%d.grainBytes()
	last := d.lastOfRun(first, (off+int64(len(p))-1)/d.grainBytes(), func(int64) int64 { return d.head.grain })
	n := min(int64(len(p)), (last+1)*d.grainBytes()-off)
	at := d.place(first)*sectorSize + within
	if err := d.fill(p[:n], at, "data"); err != nil {
		return 0, err
	}
	d.released.give(at, n)
	return n, nil
}

// lastOfRun returns the last grain up to limit such that each from first on begins in the file where the one before
// it ends.
func (d *Disk) lastOfRun(first, limit int64, sectors func(g int64) int64) int64 {
	last := first
	for last < limit && d.place(last+1) == d.place(last)+sectors(last) {
		last++
	}
	return last
}

// readCompressed reads a run of compressed grains with one read of the file and returns their guest bytes.
func (d *Disk) readCompressed(p []byte, off int64) (int64, error) {
	buf := d.buffers.Get().(*buffers)
	defer d.buffers.Put(buf)
	first := off / d.grainBytes()
	limit := (off + int64(len(p)) - 1) / d.grainBytes()
	last := d.lastOfRun(first, limit, d.sectors)
	for last > first && (d.place(last)+d.sectors(last)-d.place(first))*sectorSize > bufferBytes {
		last--
	}
	stored, err := d.readStored(buf, first, last)
	if err != nil {
		return 0, err
	}
	return d.inflateRun(buf, stored, first, last, p, off)
}

func (d *Disk) inflateRun(buf *buffers, stored []byte, first, last int64, p []byte, off int64) (int64, error) {
	var done int64
	var read span // bytes of the file, no longer needed
	for g := first; g <= last; g++ {
		own := stored[(d.place(g)-d.place(first))*sectorSize:]
		own = own[:min(int64(len(own)), d.sectors(g)*sectorSize)]
		n, err := d.inflate(buf, own, g, p[done:], off+done)
		if err != nil {
			return 0, err
		}
		done += n
		if !d.released.whole(g, n, d.length(g)) {
			continue
		}
		if at := d.place(g) * sectorSize; at != read.end() {
			d.released.give(read.first, read.n)
			read = span{first: at}
		}
		read.n += int64(len(own))
	}
	d.released.give(read.first, read.n)
	return done, nil
}

// readStored reads what grains first to last take in the file. That is a bound for the last one where it comes from
// the directory, so the file may end before; inflate checks what each needs.
func (d *Disk) readStored(buf *buffers, first, last int64) ([]byte, error) {
	at := d.place(first) * sectorSize
	want := (d.place(last)+d.sectors(last))*sectorSize - at
	if d.size >= 0 {
		want = min(want, d.size-at)
	}
	n, err := d.r.ReadAt(buf.stored(want), at)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("vmdk: read data: %w", err)
	}
	if int64(n) <= (d.place(last)-d.place(first))*sectorSize+markerBytes {
		return nil, truncated("data")
	}
	return buf.stored(int64(n)), nil
}
