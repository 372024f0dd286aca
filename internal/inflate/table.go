package inflate

import "math/bits"

// An entry of a decoding table says what the next bits mean. Its low bits hold how many of them that takes, so that
// consuming a symbol is one shift by the entry itself.
//
//	bits  0-5   bits to consume: the codeword and, for a length or distance, its extra bits
//	bits  8-11  bits of the codeword alone; the extra bits stand above it
//	bits 12-19  a literal
//	bits 16-30  the base of a length or distance
//
// An entry that leads to a subtable has the subtable's start in bits 16-28 and the bits of its index in bits 8-11.
const (
	entryLiteral = 1 << 31 // of the literal and length code
	entrySpecial = 1 << 15 // neither literal, length nor distance

	specialBad   = entrySpecial // a codeword that nothing uses
	specialEnd   = entrySpecial | 1<<12
	specialTable = entrySpecial | 1<<13

	// perBit times a codeword's length is what that length adds to an entry.
	perBit = 0x101
)

// The first look-up takes so many bits; a longer codeword takes a second one. A subtable has at most
// 1<<(maxCodeBits-root) entries and holds at least two codewords, which bounds them all.
const (
	maxCodeBits = 15

	litBits    = 11
	litSymbols = 288
	litSize    = 1<<litBits + litSymbols/2<<(maxCodeBits-litBits)

	distBits    = 9
	distSymbols = 32
	distSize    = 1<<distBits + distSymbols/2<<(maxCodeBits-distBits)
)

// code is a prefix code: its symbols in the order of their codewords.
type code struct {
	count [maxCodeBits + 1]int // codewords of each length
	order [litSymbols]uint16
	n     int // of order
}

// set reads codeword lengths (RFC 1951, 3.2.2) and reports false if no prefix code has them. Codewords may stay
// unused in one case alone, as in zlib and the standard library: none at all, or a single one of one bit.
func (c *code) set(lens []uint8) bool {
	c.count = [maxCodeBits + 1]int{}
	for _, l := range lens {
		c.count[l]++
	}
	c.count[0] = 0
	left := 1
	var next [maxCodeBits + 1]int
	for l := 1; l <= maxCodeBits; l++ {
		next[l] = next[l-1] + c.count[l-1]
		left = left<<1 - c.count[l]
		if left < 0 {
			return false
		}
	}
	for sym, l := range lens {
		if l != 0 {
			c.order[next[l]] = uint16(sym)
			next[l]++
		}
	}
	c.n = next[maxCodeBits]
	return left == 0 || c.n == 0 || (c.n == 1 && c.count[1] == 1)
}

// fill makes the decoding table of the code, whose first look-up takes root bits, from each symbol's entry without
// a codeword's length.
func (c *code) fill(table []uint32, root int, entries []uint32) {
	if c.n <= 1 {
		for i := range 1 << root {
			table[i] = specialBad
		}
	}
	if c.n == 1 {
		for i := 0; i < 1<<root; i += 2 {
			table[i] = entries[c.order[0]] + perBit
		}
	}
	if c.n <= 1 {
		return
	}
	word, i := 0, 0
	for l := 1; l <= root; l++ {
		for range c.count[l] {
			table[reverse(word, l)] = entries[c.order[i]] + uint32(l)*perBit
			word++
			i++
		}
		// What is filled so far repeats; slots of longer codewords repeat rubbish, until their codeword comes.
		if l < root {
			copy(table[1<<l:2<<l], table[:1<<l])
		}
		word <<= 1
	}
	c.fillLong(table, root, entries, word, i)
}

// fillLong makes the subtables, for the codewords from word on, whose symbols are order[i:].
func (c *code) fillLong(table []uint32, root int, entries []uint32, word, i int) {
	prefix, start, size := -1, 0, 0
	free := 1 << root
	for l := root + 1; l <= maxCodeBits; l++ {
		for k := range c.count[l] {
			r := reverse(word, l)
			if p := r & (1<<root - 1); p != prefix {
				index := c.subtableBits(root, l, c.count[l]-k)
				prefix, start, size = p, free, 1<<index
				free += size
				table[p] = specialTable | uint32(start)<<16 | uint32(index)<<8 | uint32(root)
			}
			e := entries[c.order[i]] + uint32(l-root)*perBit
			for j := r >> root; j < size; j += 1 << (l - root) {
				table[start+j] = e
			}
			word++
			i++
		}
		word <<= 1
	}
}

// subtableBits returns how many bits index the subtable whose first codeword has length l, of which rest are left:
// as many as the longest codeword in it has past the root.
func (c *code) subtableBits(root, l, rest int) int {
	index := l - root
	for room := 1<<index - rest; room > 0; {
		l++
		index++
		room = room<<1 - c.count[l]
	}
	return index
}

// reverse turns a codeword round: in the stream its first bit comes lowest.
func reverse(word, l int) int {
	return int(bits.Reverse16(uint16(word << (16 - l))))
}
