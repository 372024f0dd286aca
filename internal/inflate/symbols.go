package inflate

// What the symbols mean (RFC 1951, 3.2.5), as table entries without a codeword.
var (
	litEntries  = literalAndLengthEntries()
	distEntries = distanceEntries()
	preEntries  = codeLengthEntries()
)

func literalAndLengthEntries() (entries [litSymbols]uint32) {
	for sym := range 256 {
		entries[sym] = entryLiteral | uint32(sym)<<12
	}
	entries[256] = specialEnd
	base := uint32(3)
	for sym := 257; sym < 285; sym++ {
		extra := uint32(max(0, (sym-261)/4))
		entries[sym] = base<<16 | extra
		base += 1 << extra
	}
	entries[285] = 258 << 16
	entries[286], entries[287] = specialBad, specialBad
	return entries
}

func distanceEntries() (entries [distSymbols]uint32) {
	base := uint32(1)
	for sym := range 30 {
		extra := uint32(max(0, (sym-2)/2))
		entries[sym] = base<<16 | extra
		base += 1 << extra
	}
	entries[30], entries[31] = specialBad, specialBad
	return entries
}

// codeLengthEntries are those of the code that codeword lengths are written in: a symbol's base is the symbol.
func codeLengthEntries() (entries [preSymbols]uint32) {
	for sym := range entries {
		entries[sym] = uint32(sym) << 16
	}
	return entries
}
