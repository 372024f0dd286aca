package decompress

import "encoding/binary"

// moves is what a block's symbols mean: bytes by their place in a list in which each one used moves to the front, and
// runs of the byte in front.
type moves struct {
	list  [256]byte // the bytes in use, the latest first
	eob   uint16    // the symbol that ends the block
	n     int       // bytes so far
	shift uint      // symbols so far of the run that is being told
	done  bool
}

// symbols decodes a block's symbols to the last column of its sorted rotations.
func (w *bzip2Worker) symbols() error {
	clear(w.count[:])
	w.n, w.shift, w.done = 0, 0, false
	for _, selector := range w.selectors[:w.groups] {
		if err := w.in.ensure(groupSize*maxWord/8 + 1); err != nil {
			return err
		}
		if err := w.group(&w.codes[selector]); w.done || err != nil {
			return err
		}
	}
	return corrupt("a block with fewer selectors than symbols")
}

// group decodes the symbols that one selector is for. What changes with each symbol is kept in variables of its own,
// which stay in registers.
func (w *bzip2Worker) group(h *huffman) (err error) {
	buf, pos, bits, have := w.in.buf, w.in.pos, w.in.bits, w.in.have
	list, count, last := &w.list, &w.count, w.last
	n, shift := w.n, w.shift
	for range groupSize {
		if have < maxWord {
			bits |= binary.BigEndian.Uint64(buf[pos:]) >> (have & 63)
			pos += int(63-have) >> 3
			have |= 56
		}
		e := h.quick[bits>>(64-quickBits)]
		if e == 0 {
			if e = h.long(bits); e == 0 {
				err = corrupt("a codeword that its code does not have")
				break
			}
		}
		bits <<= e & quickLength
		have -= uint(e & quickLength)
		symbol := e / (quickLength + 1)
		if symbol < 2 {
			// The run's length in digits 1 and 2, the lowest first; each digit is expanded as it comes.
			run := int(symbol+1) << (shift & 31)
			shift++
			if n+run > maxBlock {
				err = errBlockSize
				break
			}
			v := list[0]
			count[v] += run
			fill(last, n, n+run, v)
			n += run
			continue
		}
		if symbol == w.eob {
			w.done = true
			break
		}
		if n == maxBlock {
			err = errBlockSize
			break
		}
		shift = 0
		v := toFront(list, uint8(symbol-1))
		last[n] = v
		count[v]++
		n++
	}
	w.in.pos, w.in.bits, w.in.have, w.n, w.shift = pos, bits, have, n, shift
	return err
}

// fill writes v from one place to another, and up to seven bytes further.
func fill(b []byte, from, to int, v byte) {
	same := uint64(v) * 0x0101010101010101
	for ; from < to; from += 8 {
		binary.LittleEndian.PutUint64(b[from:], same)
	}
}

// toFront moves the byte at place k to the front of the list. Most places are small, and eight bytes fit a word.
func toFront(list *[256]byte, k uint8) byte {
	v := list[k]
	if k < 8 {
		first := binary.LittleEndian.Uint64(list[:])
		moved := uint64(0xffff_ffff_ffff_ffff) >> (56 - 8*k&63)
		binary.LittleEndian.PutUint64(list[:], first&^moved|first<<8&moved|uint64(v))
		return v
	}
	copy(list[1:int(k)+1], list[:k])
	list[0] = v
	return v
}
