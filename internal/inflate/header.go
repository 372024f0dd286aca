package inflate

// header reads a block's header (RFC 1951, 3.2.3) and makes its tables.
func (d *Decoder) header() error {
	d.refill()
	if d.n < 3 {
		return ErrTruncated
	}
	d.last = d.bits&1 != 0
	kind := d.bits >> 1 & 3
	d.skip(3)
	switch kind {
	case 0:
		return d.storedHeader()
	case 1:
		d.fixedCode()
	case 2:
		d.fixed = false
		if err := d.dynamicCode(); err != nil {
			return err
		}
	default:
		return CorruptError("a block of a type that does not exist")
	}
	d.state = inCodes
	return nil
}

func (d *Decoder) endBlock() {
	d.state = atBlock
	if d.last {
		d.state = atEnd
	}
}

func (d *Decoder) storedHeader() error {
	d.skip(d.n & 7)
	d.refill()
	if d.n < 32 {
		return ErrTruncated
	}
	length, complement := uint16(d.bits), uint16(d.bits>>16)
	if length != ^complement {
		return CorruptError("a stored block whose length and its complement differ")
	}
	d.skip(32)
	d.stored = int(length)
	d.state = inStored
	return nil
}

// copyStored copies what dst and the input have of a stored block.
func (d *Decoder) copyStored(dst []byte, at int, exact bool) (int, error) {
	d.pos -= int(d.n >> 3)
	d.bits, d.n = 0, 0
	n := copy(dst[at:], d.in[d.pos:min(len(d.in), d.pos+d.stored)])
	at += n
	d.pos += n
	d.stored -= n
	switch {
	case d.stored == 0:
		d.endBlock()
	case d.pos == len(d.in) && d.eof:
		return at, ErrTruncated
	case exact && at == len(dst):
		return at, ErrFull
	}
	return at, nil
}
