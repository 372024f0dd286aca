package inflate

import "encoding/binary"

// What one turn of the fast loop may use: two loads of eight bytes past what it has moved on by, seven for each; and
// three literals or the longest match, with what copying in steps of 16 writes past its end.
const (
	fastInput = 24
	fastRoom  = 3 + 258 + 16
)

// fast decodes codewords while input and room are ample, so that neither is checked for each symbol, and returns where
// the output ends. It is done with the block when d.state is no longer inCodes.
//
// It is one long function because every variable of it must stay in a register. The entry of the next codeword is
// always looked up ahead, so that the processor waits for it while it copies.
func (d *Decoder) fast(dst []byte, at int) (int, error) {
	in, pos := d.in, d.pos
	if pos > len(in)-fastInput {
		return at, nil
	}
	lit, dist := &d.lit, &d.dist
	b, n, pos := load(in, pos, d.bits, uint32(d.n)) // of n the low six bits count; those above are rubbish
	e := lit[b%(1<<litBits)]
	var err error
	for pos <= len(in)-fastInput && at <= len(dst)-fastRoom {
		if e >= entryLiteral {
			b, n = b>>(e&63), n-e
			dst[at] = byte(e >> 12)
			at++
			e = lit[b%(1<<litBits)]
			if e >= entryLiteral {
				b, n = b>>(e&63), n-e
				dst[at] = byte(e >> 12)
				at++
				e = lit[b%(1<<litBits)]
				if e >= entryLiteral {
					b, n = b>>(e&63), n-e
					dst[at] = byte(e >> 12)
					at++
					e = lit[b%(1<<litBits)]
					b, n, pos = load(in, pos, b, n)
					continue
				}
			}
		}
		if e&entrySpecial != 0 {
			if e&specialTable == specialTable {
				b, n = b>>(e&63), n-e
				e = lit[e>>16+uint32(b)&(1<<(e>>8&15)-1)]
				if e >= entryLiteral {
					b, n = b>>(e&63), n-e
					dst[at] = byte(e >> 12)
					at++
					b, n, pos = load(in, pos, b, n)
					e = lit[b%(1<<litBits)]
					continue
				}
			}
			if e&entrySpecial != 0 {
				b, n = b>>(e&63), n-e
				err = d.special(e)
				break
			}
		}
		end := at + int(value(e, b))
		b, n = b>>(e&63), n-e
		if n&63 < 28 {
			b, n, pos = load(in, pos, b, n)
		}
		e = dist[b%(1<<distBits)]
		if e&entrySpecial != 0 {
			if e&specialTable != specialTable {
				err = errCodeword
				break
			}
			b, n = b>>(e&63), n-e
			e = dist[e>>16+uint32(b)&(1<<(e>>8&15)-1)]
		}
		back := int(value(e, b))
		b, n = b>>(e&63), n-e
		b, n, pos = load(in, pos, b, n)
		e = lit[b%(1<<litBits)]
		from := at - back
		if from < 0 {
			err = errFar
			break
		}
		if back < 16 {
			overlap(dst, at, end, back)
			at = end
			continue
		}
		for ; at < end; at += 16 {
			*(*[16]byte)(dst[at:]) = *(*[16]byte)(dst[from:])
			from += 16
		}
		at = end
	}
	n &= 63
	d.pos, d.bits, d.n = pos, b&(1<<n-1), uint(n)
	return at, err
}

// load fills the bit buffer up to 56 bits or more. Bits above those that n counts are right too, and loaded again.
func load(in []byte, pos int, b uint64, n uint32) (uint64, uint32, int) {
	b |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
	return b, n | 56, pos + int(7-n>>3&7)
}

// value is the base of a length's or distance's entry and the extra bits that stand above its codeword in b.
func value(e uint32, b uint64) uint32 {
	return e>>16 + uint32(b)&(1<<(e&63)-1)>>(e>>8&15)
}

// overlap copies a match that starts so few bytes back that it may read what it writes.
func overlap(dst []byte, at, end, back int) {
	if back == 1 {
		v := uint64(dst[at-1]) * 0x0101010101010101
		for ; at < end; at += 16 {
			to := (*[16]byte)(dst[at:])
			binary.LittleEndian.PutUint64(to[:8], v)
			binary.LittleEndian.PutUint64(to[8:], v)
		}
		return
	}
	from := at - back
	if back >= 8 {
		for ; at < end; at += 8 {
			binary.LittleEndian.PutUint64(dst[at:], binary.LittleEndian.Uint64(dst[from:]))
			from += 8
		}
		return
	}
	for at < end {
		at += copy(dst[at:end], dst[from:at])
	}
}

func (d *Decoder) special(e uint32) error {
	if e&specialEnd != specialEnd {
		return errCodeword
	}
	d.endBlock()
	return nil
}
