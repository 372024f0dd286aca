package inflate

// decode decodes the codewords of a block, as far as dst and the input go.
func (d *Decoder) decode(dst []byte, at int, exact bool) (int, error) {
	at, err := d.fast(dst, at)
	for err == nil && d.state == inCodes && (exact || d.eof && len(dst)-at >= MinRoom) {
		at, err = d.symbol(dst, at)
	}
	return at, err
}

// symbol decodes one codeword, with the distance that belongs to a length, where the input or dst is too near its end
// for fast.
func (d *Decoder) symbol(dst []byte, at int) (int, error) {
	d.refill()
	e, err := d.entry(d.lit[:], litBits)
	switch {
	case err != nil:
		return at, err
	case e >= entryLiteral:
		return d.literal(dst, at, byte(e>>12), uint(e>>8&15))
	case e&entrySpecial != 0:
		d.skip(uint(e & 63))
		d.endBlock()
		return at, nil
	}
	length, err := d.value(e)
	if err != nil {
		return at, err
	}
	e, err = d.entry(d.dist[:], distBits)
	if err != nil {
		return at, err
	}
	back, err := d.value(e)
	if err != nil {
		return at, err
	}
	if back > at {
		return at, errFar
	}
	for i := range length {
		if at+i == len(dst) {
			return len(dst), ErrFull
		}
		dst[at+i] = dst[at+i-back]
	}
	return at + length, nil
}

// literal writes the first literal of an entry and consumes its codeword alone.
func (d *Decoder) literal(dst []byte, at int, lit byte, word uint) (int, error) {
	if at == len(dst) {
		return at, ErrFull
	}
	dst[at] = lit
	d.skip(word)
	return at + 1, nil
}

// entry looks up the next codeword, through its subtable if it has one. It consumes what leads to the subtable alone,
// and makes sure that the codeword is there in whole.
func (d *Decoder) entry(table []uint32, root int) (uint32, error) {
	e := table[d.bits&(1<<root-1)]
	if e < entryLiteral && e&specialTable == specialTable {
		if d.n < uint(root) {
			return 0, ErrTruncated
		}
		d.skip(uint(root))
		e = table[e>>16+uint32(d.bits)&(1<<(e>>8&15)-1)]
	}
	switch {
	case d.n < uint(e>>8&15):
		return 0, ErrTruncated
	case e < entryLiteral && e&entrySpecial != 0 && e&specialEnd != specialEnd:
		return 0, d.bad(errCodeword)
	}
	return e, nil
}

// value consumes the codeword of a length or distance with its extra bits and returns what they mean.
func (d *Decoder) value(e uint32) (int, error) {
	if d.n < uint(e&63) {
		return 0, ErrTruncated
	}
	v := e>>16 + uint32(d.bits)&(1<<(e&63)-1)>>(e>>8&15)
	d.skip(uint(e & 63))
	return int(v), nil
}

// bad is err, unless the bits it was found in are not the stream's but stand for what is missing at its end.
func (d *Decoder) bad(err error) error {
	if d.n < maxCodeBits && d.pos == len(d.in) {
		return ErrTruncated
	}
	return err
}

// refill makes the bit buffer as full as whole bytes allow: 57 bits or more, or all there are.
func (d *Decoder) refill() {
	for d.n <= 56 && d.pos < len(d.in) {
		d.bits |= uint64(d.in[d.pos]) << d.n
		d.pos++
		d.n += 8
	}
}

func (d *Decoder) skip(n uint) {
	d.bits >>= n
	d.n -= n
}
