package decompress

import (
	"encoding/binary"
	"io"
)

// bitReader reads bits from a window, the highest of each byte first, through a buffer of its own.
type bitReader struct {
	src  *window
	off  int64 // of buf in src
	buf  []byte
	end  int // in buf: the end of the source, with zeros after it; -1 while it is not in buf
	pos  int // in buf: the next byte that bits lacks
	bits uint64
	have uint  // how many of bits, from the top, are counted; those below are right, too, or zero
	stop int64 // in src: how far a block may go

	unwanted <-chan struct{} // closed when nobody needs what is read; nil: somebody always does
}

const (
	bitBuffer = 64 << 10
	mostBytes = 1 << 10 // for ensure
)

// seek goes to a bit of src. What is read from there fails with errPassed once unwanted is closed.
func (r *bitReader) seek(src *window, bit int64, unwanted <-chan struct{}) error {
	if r.buf == nil {
		r.buf = make([]byte, 0, bitBuffer)
	}
	*r = bitReader{src: src, off: bit >> 3, buf: r.buf[:0], end: -1, stop: bit>>3 + maxBlockIn, unwanted: unwanted}
	if err := r.ensure(8); err != nil {
		return err
	}
	r.load()
	r.skip(uint(bit & 7))
	return nil
}

// at is the bit that the reader is at.
func (r *bitReader) at() int64 { return (r.off+int64(r.pos))<<3 - int64(r.have) }

// ensure makes sure that load works for the next n bytes (mostBytes at most). At the end of the source it puts zeros
// after it; when bits of them have been used, it returns io.EOF.
func (r *bitReader) ensure(n int) error {
	if r.past() {
		return io.EOF
	}
	if len(r.buf)-r.pos >= n+8 {
		return nil
	}
	r.off += int64(r.pos)
	r.buf = r.buf[:copy(r.buf[:cap(r.buf)], r.buf[r.pos:])]
	if r.end >= 0 {
		r.end -= r.pos
	}
	r.pos = 0
	for len(r.buf) < n+8 {
		if r.end >= 0 {
			r.buf = append(r.buf, make([]byte, 2*mostBytes)...)
			break
		}
		have := len(r.buf)
		if r.off+int64(have) >= r.stop {
			return errBlockIn
		}
		k, err := r.src.readWanted(r.buf[have:cap(r.buf)], r.off+int64(have), r.unwanted)
		if err == io.EOF {
			r.end = have
		} else if err != nil {
			return err
		}
		r.buf = r.buf[:have+k]
	}
	return nil
}

// past reports that bits after the end of the source have been used.
func (r *bitReader) past() bool { return r.end >= 0 && r.at() > (r.off+int64(r.end))<<3 }

// load counts 56 bits or more.
func (r *bitReader) load() {
	r.bits |= binary.BigEndian.Uint64(r.buf[r.pos:]) >> r.have
	r.pos += int(63-r.have) >> 3
	r.have |= 56
}

func (r *bitReader) skip(n uint) {
	r.bits <<= n
	r.have -= n
}

// take reads up to 48 bits.
func (r *bitReader) take(n uint) uint64 {
	if r.have < n {
		r.load()
	}
	v := r.bits >> (64 - n)
	r.skip(n)
	return v
}
