package inflate

import "encoding/binary"

const (
	adlerModulus = 65521
	adlerWords   = 23       // words of eight bytes after which the sums of sums might no longer fit 16 bits
	adlerPart    = 64 << 10 // bytes after which the totals are reduced, long before they overflow
)

// adler is the checksum of a zlib stream (RFC 1950, 8.2): the sum of the bytes, and the sum of all those sums. It
// counts eight bytes at a time; the standard library's, which counts one, would take as long as half the decoding.
func adler(text []byte) uint32 {
	a, b := uint64(1), uint64(0)
	for len(text) > 0 {
		part := text[:min(len(text), adlerPart)]
		text = text[len(part):]
		for len(part) >= 8 {
			n := min(len(part)&^7, 8*adlerWords)
			a, b = adlerRun(a, b, part[:n])
			part = part[n:]
		}
		for _, v := range part {
			a += uint64(v)
			b += a
		}
		a %= adlerModulus
		b %= adlerModulus
	}
	return uint32(b<<16 | a)
}

// adlerRun adds up to adlerWords words. In four lanes of 16 bits each, even and odd are the sums of the bytes at each
// place of a word, and the others the sums of what those were before each word.
func adlerRun(a, b uint64, words []byte) (uint64, uint64) {
	const lanes = 0x00ff00ff00ff00ff
	var even, odd, evens, odds uint64
	for i := 0; i <= len(words)-8; i += 8 {
		v := binary.LittleEndian.Uint64(words[i:])
		evens += even
		odds += odd
		even += v & lanes
		odd += v >> 8 & lanes
	}
	b += uint64(len(words)) * a
	for lane := range 4 {
		e, o := even>>(16*lane)&0xffff, odd>>(16*lane)&0xffff
		a += e + o
		b += 8*(evens>>(16*lane)&0xffff+odds>>(16*lane)&0xffff) + uint64(8-2*lane)*e + uint64(7-2*lane)*o
	}
	return a, b
}
