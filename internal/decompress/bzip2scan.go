package decompress

import "encoding/binary"

// scanner finds where blocks may start: wherever their magic stands, at any bit. It may stand in the midst of a
// block by chance, or because somebody wants it to; so what it finds are places where it is worth to start early.
type scanner struct {
	src *window
	buf []byte
	off int64 // of buf in src; the first four bytes are there for the bits before those that are looked at

	// parts has the 16 bits at each place of the magic that can come to lie on a multiple of four bytes.
	parts [1 << 16 / 64]uint64
}

const (
	scanBuffer = 64 << 10
	scanStep   = 4 // bytes
	magicBits  = 48
)

func newScanner(src *window) *scanner {
	s := &scanner{src: src, buf: make([]byte, scanStep, scanBuffer), off: -scanStep}
	for skip := range scanStep * 8 {
		part := uint64(blockMagic) >> (magicBits - 16 - skip) & 0xffff
		s.parts[part>>6] |= 1 << (part & 63)
	}
	return s
}

// run calls found with the bit of each magic, in order, until found returns false or the source ends.
func (s *scanner) run(found func(bit int64) bool) {
	for {
		have := len(s.buf)
		n, err := s.src.readAt(s.buf[have:cap(s.buf)], s.off+int64(have))
		if err == errPassed {
			// Nobody needs what was skipped; that the decoder is ahead of the scanner means that it does not wait for it.
			s.buf, s.off = s.buf[:scanStep], s.src.passed()-scanStep
			clear(s.buf)
			continue
		}
		if err != nil {
			return
		}
		s.buf = s.buf[:have+n]
		done, ok := s.find(found)
		if !ok {
			return
		}
		s.off += int64(done)
		s.buf = s.buf[:copy(s.buf, s.buf[done:])]
	}
}

// find looks at the places in buf at multiples of scanStep, and returns the last of them. A magic covers at least one
// with 16 bits of its own; for the first one that it covers it is looked for from its bit 0 to 31 on.
func (s *scanner) find(found func(bit int64) bool) (done int, ok bool) {
	buf := s.buf
	at := scanStep
	for ; at+8 <= len(buf); at += scanStep {
		part := uint(buf[at])<<8 | uint(buf[at+1])
		if s.parts[part>>6]>>(part&63)&1 == 0 {
			continue
		}
		before, after := binary.BigEndian.Uint64(buf[at-scanStep:]), uint64(binary.BigEndian.Uint32(buf[at+scanStep:]))
		for skip := scanStep*8 - 1; skip >= 0; skip-- {
			from := scanStep*8 - skip
			word := before<<from | after<<32>>(64-from)
			if word>>(64-magicBits) == blockMagic && !found((s.off+int64(at))*8-int64(skip)) {
				return 0, false
			}
		}
	}
	return at - scanStep, true
}
