package inflate

// The code that codeword lengths are written in: 19 symbols, codewords of seven bits at most.
const (
	preSymbols = 19
	preBits    = 7
)

// fixedCode makes the tables of the code that needs no description (RFC 1951, 3.2.6).
func (d *Decoder) fixedCode() {
	if d.fixed {
		return
	}
	for i := range litSymbols {
		l := uint8(8)
		switch {
		case i >= 280:
		case i >= 256:
			l = 7
		case i >= 144:
			l = 9
		}
		d.lens[i] = l
	}
	for i := range distSymbols {
		d.lens[litSymbols+i] = 5
	}
	d.tables(litSymbols, distSymbols)
	d.fixed = true
}

// tables makes both tables from d.lens, where the lengths of the distances follow the others.
func (d *Decoder) tables(literals, distances int) bool {
	if !d.code.set(d.lens[:literals]) {
		return false
	}
	d.code.fill(d.lit[:], litBits, litEntries[:])
	if !d.code.set(d.lens[literals : literals+distances]) {
		return false
	}
	d.code.fill(d.dist[:], distBits, distEntries[:])
	return true
}

// dynamicCode reads the description of a block's two codes (RFC 1951, 3.2.7).
func (d *Decoder) dynamicCode() error {
	d.refill()
	if d.n < 14 {
		return ErrTruncated
	}
	literals := int(d.bits&31) + 257
	distances := int(d.bits>>5&31) + 1
	lengths := int(d.bits>>10&15) + 4
	d.skip(14)
	if literals > 286 || distances > 30 {
		return CorruptError("a code of more symbols than exist")
	}
	if err := d.codeOfLengths(lengths); err != nil {
		return err
	}
	if err := d.lengths(literals + distances); err != nil {
		return err
	}
	if d.lens[256] == 0 {
		return CorruptError("a block without an end")
	}
	if !d.tables(literals, distances) {
		return errLengths
	}
	return nil
}

// codeOfLengths reads the code that codeword lengths are written in. Its table lies in that of the distances, which
// is made after it.
func (d *Decoder) codeOfLengths(n int) error {
	order := [preSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	var lens [preSymbols]uint8
	for _, sym := range order[:n] {
		if d.n < 3 {
			d.refill()
		}
		if d.n < 3 {
			return ErrTruncated
		}
		lens[sym] = uint8(d.bits & 7)
		d.skip(3)
	}
	if !d.code.set(lens[:]) {
		return errLengths
	}
	d.code.fill(d.dist[:], preBits, preEntries[:])
	return nil
}

// lengths reads n codeword lengths.
func (d *Decoder) lengths(n int) error {
	for i := 0; i < n; {
		if d.n < preBits+7 {
			d.refill()
		}
		e, err := d.entry(d.dist[:], preBits)
		if err != nil {
			return err
		}
		d.skip(uint(e & 63))
		sym := uint8(e >> 16)
		if sym < 16 {
			d.lens[i] = sym
			i++
			continue
		}
		run, err := d.repeats(sym)
		if err != nil {
			return err
		}
		if i+run > n || sym == 16 && i == 0 {
			return errLengths
		}
		length := uint8(0)
		if sym == 16 {
			length = d.lens[i-1]
		}
		for range run {
			d.lens[i] = length
			i++
		}
	}
	return nil
}

// repeats reads how many lengths a symbol from 16 to 18 stands for.
func (d *Decoder) repeats(sym uint8) (int, error) {
	extra := [3]uint{2, 3, 7}[sym-16]
	base := [3]int{3, 3, 11}[sym-16]
	if d.n < extra {
		return 0, ErrTruncated
	}
	v := base + int(d.bits&(1<<extra-1))
	d.skip(extra)
	return v, nil
}
