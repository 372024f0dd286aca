package decompress

import (
	"bytes"
	"compress/bzip2"
	"io"
	"testing"
)

// bitWriter writes bits, the highest of each value first.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) add(v uint64, n int) *bitWriter {
	for i := n - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
	return w
}

// crafted is a bzip2 block with fields that no encoder would choose. Its codes are flat: symbol k is codeword k.
type crafted struct {
	crc        uint64
	randomised uint64
	row        uint64
	ranges     uint64   // bytes in use, as the format writes it
	used       []uint64 // and of each range
	width      int      // bits of a codeword; 1<<width symbols, or 2 more than there are bytes in use
	codes      uint64   // 2 if zero
	selectors  int      // as many as needed if zero
	toggles    bool     // each selector is for the other code of two, and so no long run of zero bits
	symbols    []byte
}

// bytesBlock has bytes 0 to 253 in use, so that it has 256 symbols and each byte of symbols is one; 255 is the last.
func bytesBlock(symbols []byte) crafted {
	used := bytes.Repeat([]byte{1}, 16)
	c := crafted{ranges: 0xffff, width: 8, symbols: append(symbols, 255)}
	for range used {
		c.used = append(c.used, 0xffff)
	}
	c.used[15] = 0xfffc
	return c
}

// hiddenBlock has 62 bytes in use, and not eight ones in a row anywhere: its bits can be symbols of a bytesBlock.
func hiddenBlock(symbols []byte) crafted {
	c := crafted{ranges: 0xaaaa, width: 6, symbols: append(symbols, 63)}
	for range 6 {
		c.used = append(c.used, 0xaaaa)
	}
	c.used = append(c.used, 0xaaa8, 0xaaa8)
	return c
}

func (c crafted) write(w *bitWriter) {
	if c.codes == 0 {
		c.codes = 2
	}
	groups := (len(c.symbols) + groupSize - 1) / groupSize
	if c.selectors == 0 {
		c.selectors = groups
	}
	w.add(blockMagic, 48).add(c.crc, 32).add(c.randomised, 1).add(c.row, 24).add(c.ranges, 16)
	for _, u := range c.used {
		w.add(u, 16)
	}
	w.add(c.codes, 3).add(uint64(c.selectors), 15)
	for range c.selectors {
		if c.toggles {
			w.add(1, 1)
		}
		w.add(0, 1)
	}
	for range c.codes {
		w.add(uint64(c.width), 5)
		for range 1 << c.width {
			w.add(0, 1)
		}
	}
	for _, s := range c.symbols {
		w.add(uint64(s), c.width)
	}
}

// stream is a bzip2 stream at a level.
func stream(level byte, blocks ...crafted) []byte {
	w := new(bitWriter).add(uint64('B')<<24|uint64('Z')<<16|uint64('h')<<8|uint64(level), 32)
	sum := uint32(0)
	for _, b := range blocks {
		b.write(w)
		sum = (sum<<1 | sum>>31) ^ uint32(b.crc)
	}
	return w.add(streamMagic, 48).add(uint64(sum), 32).b
}

// right gives a block the checksum that it should have, by the standard library's decoder and a plain sum.
func right(t testing.TB, c crafted) crafted {
	t.Helper()
	c.crc = 0
	text, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(stream('9', c))))
	if err != nil && err.Error() != "bzip2 data invalid: block checksum mismatch" {
		t.Fatal(err)
	}
	c.crc = uint64(plainSum(text))
	return c
}

// plainSum is bzip2's checksum, bit by bit.
func plainSum(text []byte) uint32 {
	crc := ^uint32(0)
	for _, b := range text {
		crc ^= uint32(b) << 24
		for range 8 {
			carry := crc >> 31
			crc <<= 1
			if carry != 0 {
				crc ^= 0x04c11db7
			}
		}
	}
	return ^crc
}
