package decompress

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// pieceSize is what a block's text is handed over in, in bytes: a block may expand to 45 MB.
const pieceSize = 256 << 10

// expander undoes the run lengths that a block was written with first: four equal bytes are followed by how many more
// there are. It sums up what comes out.
type expander struct {
	crc   uint32 // of the bytes with their bits turned round, as bzip2 counts them
	piece []byte // being filled
	send  func(piece []byte) (unused []byte, ok bool)
}

// expand sends the text of a block and reports false if nobody wants it any more.
func (x *expander) expand(block []byte) bool {
	for len(block) > 0 {
		n, more := toRun(block)
		if !x.copy(block[:n]) {
			return false
		}
		if !more {
			break
		}
		if !x.repeat(block[n-1], int(block[n])) {
			return false
		}
		block = block[n+1:]
	}
	return len(x.piece) == 0 || x.flush()
}

// toRun returns the length up to and with the first four equal bytes, and whether a count follows; without such a run
// the whole length. Of each run of four one pair starts at a multiple of three, so no other is looked at.
func toRun(b []byte) (int, bool) {
	for i := 0; i+1 < len(b); i += 3 {
		if b[i] != b[i+1] {
			continue
		}
		from, to := i, i+2
		for from > 0 && b[from-1] == b[i] {
			from--
		}
		for to < len(b) && to < from+4 && b[to] == b[i] {
			to++
		}
		if to == from+4 {
			return to, to < len(b)
		}
	}
	return len(b), false
}

func (x *expander) copy(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), cap(x.piece)-len(x.piece))
		x.piece = append(x.piece, b[:n]...)
		b = b[n:]
		if len(x.piece) == cap(x.piece) && !x.flush() {
			return false
		}
	}
	return true
}

func (x *expander) repeat(v byte, count int) bool {
	for count > 0 {
		have := len(x.piece)
		n := min(count, cap(x.piece)-have)
		x.piece = x.piece[:have+n]
		run := x.piece[have:]
		if v == 0 {
			clear(run)
		} else {
			for i := range run {
				run[i] = v
			}
		}
		count -= n
		if len(x.piece) == cap(x.piece) && !x.flush() {
			return false
		}
	}
	return true
}

func (x *expander) flush() bool {
	x.crc = crcTurned(x.crc, x.piece)
	unused, ok := x.send(x.piece)
	x.piece = unused
	return ok
}

// sum is the checksum of what was expanded, as bzip2 writes it.
func (x *expander) sum() uint32 { return bits.Reverse32(x.crc) }

// crcTurned is crc32.Update for bytes whose bits are turned round. bzip2 uses the polynomial of gzip with the highest
// bit first; so the processor's instructions for gzip's serve here too.
func crcTurned(crc uint32, b []byte) uint32 {
	var turned [4 << 10]byte
	for len(b) >= 8 {
		n := min(len(b)&^7, len(turned))
		for i := 0; i < n; i += 8 {
			word := bits.Reverse64(binary.BigEndian.Uint64(b[i:]))
			binary.LittleEndian.PutUint64(turned[i:], word)
		}
		crc = crc32.Update(crc, crc32.IEEETable, turned[:n])
		b = b[n:]
	}
	for i, v := range b {
		turned[i] = bits.Reverse8(v)
	}
	return crc32.Update(crc, crc32.IEEETable, turned[:len(b)])
}
