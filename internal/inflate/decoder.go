package inflate

import (
	"io"
)

// MinInput and MinRoom are what Next needs to get on: bytes of input, unless they are the last, and room for output.
const (
	MinInput = 1 << 10
	MinRoom  = 1 << 9
)

type state uint8

const (
	atBlock  state = iota // a block header is next
	inStored              // in a stored block
	inCodes               // in a block of codewords
	atEnd                 // past the last block
)

// Decoder decodes one DEFLATE stream piece by piece. The zero Decoder is ready for use.
type Decoder struct {
	in   []byte
	pos  int    // in in: the next byte that bits lacks
	bits uint64 // the next bits of the stream, lowest first; beyond n they are zero
	n    uint   // how many of bits there are
	eof  bool   // in is the rest of the stream

	state  state
	last   bool // the block is the last one
	fixed  bool // the tables are those of the fixed code
	stored int  // bytes left of a stored block

	code code
	lens [litSymbols + distSymbols]uint8
	lit  [litSize]uint32
	dist [distSize]uint32
}

// Reset makes the decoder ready for another stream.
func (d *Decoder) Reset() {
	d.in, d.pos, d.bits, d.n = nil, 0, 0, 0
	d.state, d.last, d.stored = atBlock, false, 0
}

// Next decodes from src into dst[at:] until either is nearly used up, and returns how many bytes it wrote and read.
// dst[:at] must be what was decoded before it, at least the last 32 KiB. Bytes of dst past those written are spoilt.
// src must go on with the bytes not read before; eof says that nothing comes after it. After the last block Next
// returns io.EOF; what of src it did not read is not the stream's. A broken stream is a CorruptError or, if src ends
// within the stream and eof is set, ErrTruncated.
func (d *Decoder) Next(dst []byte, at int, src []byte, eof bool) (wrote, read int, err error) {
	d.in, d.pos, d.eof = src, 0, eof
	end, err := d.run(dst, at, false)
	read = d.giveBack()
	return end - at, read, err
}

// giveBack returns whole bytes from the bit buffer to the input and says how much of that is used.
func (d *Decoder) giveBack() (read int) {
	d.pos -= int(d.n >> 3)
	d.n &= 7
	d.bits &= 1<<d.n - 1
	d.in = nil
	return d.pos
}

// run decodes into dst from at on. With exact, dst is filled to its last byte, and ErrFull says that more would come.
func (d *Decoder) run(dst []byte, at int, exact bool) (int, error) {
	for d.state != atEnd {
		if !exact && (len(dst)-at < MinRoom || !d.eof && len(d.in)-d.pos < MinInput) {
			return at, nil
		}
		var err error
		switch d.state {
		case atBlock:
			err = d.header()
		case inStored:
			at, err = d.copyStored(dst, at, exact)
		case inCodes:
			at, err = d.decode(dst, at, exact)
		}
		if err != nil {
			return at, err
		}
	}
	return at, io.EOF
}
