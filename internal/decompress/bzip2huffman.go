package decompress

// Limits of a block's codes. The format has no specification; these are those of bzip2 1.0.8.
const (
	maxSymbols  = 258 // two for runs, 255 places in the list of bytes, the end of the block
	maxWord     = 20  // bits of a codeword
	quickBits   = 10  // codewords up to this length are found by one look-up
	quickLength = 31  // the part of an entry of quick that is the length
)

// huffman decodes one of a block's codes.
type huffman struct {
	quick [1 << quickBits]uint16 // by the next bits: the symbol, times 32, and its codeword's length; 0 for a longer one
	limit [maxWord + 1]uint32    // by length: what the next 20 bits must be below for a codeword of that length
	shift [maxWord + 1]int       // by length: from codeword to place in order
	order [maxSymbols]uint16     // symbols in the order of their codewords
}

// build makes the tables of a code from its codeword lengths, 1 to maxWord each. It reports false if there are more
// codewords than fit. Codewords that nothing uses are accepted until one comes: encoders have left such gaps.
func (h *huffman) build(lengths []uint8) bool {
	var count [maxWord + 1]int
	for _, l := range lengths {
		count[l]++
	}
	clear(h.quick[:])
	word, place := 0, 0
	for l := 1; l <= maxWord; l++ {
		h.shift[l] = place - word
		for sym, length := range lengths {
			if int(length) != l {
				continue
			}
			if word>>l != 0 {
				return false
			}
			h.order[place] = uint16(sym)
			if l <= quickBits {
				first := word << (quickBits - l)
				for i := range 1 << (quickBits - l) {
					h.quick[first+i] = uint16(sym)<<5 | uint16(l)
				}
			}
			word++
			place++
		}
		h.limit[l] = uint32(word) << (maxWord - l)
		word <<= 1
	}
	return true
}

// long finds the codeword that bits start with and that is longer than quickBits, as an entry of quick; 0 if nothing
// uses it.
func (h *huffman) long(bits uint64) uint16 {
	next := uint32(bits >> (64 - maxWord))
	for l := quickBits + 1; l <= maxWord; l++ {
		if next < h.limit[l] {
			place := int(next>>(maxWord-l)) + h.shift[l]
			return h.order[place]<<5 | uint16(l)
		}
	}
	return 0
}
