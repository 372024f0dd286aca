package decompress

import (
	"errors"
	"fmt"
	"io"
)

const (
	blockMagic  = 0x314159265359 // pi; before every block
	streamMagic = 0x177245385090 // the root of pi; at the end of a stream
	maxBlock    = 900_000        // bytes of a block at level 9, before runs are expanded
	groupSize   = 50             // symbols that one selector is for
	maxHeader   = 1 << 16        // bytes of a block's header, with room for what no encoder writes
	maxBlockIn  = maxHeader + maxBlock*maxWord/8 + 1
)

// corrupt is what a bzip2 block breaks of the format.
type corrupt string

func (e corrupt) Error() string { return string(e) }

// errRandomised is a block that is no longer written, though not against the format.
var errRandomised = errors.New("decompress: a randomised block")

const (
	errBlockSize = corrupt("a block that is larger than its level allows")
	errBlockIn   = corrupt("a block whose end does not come")
)

// bzip2Worker decodes one block at a time. It holds some 8 MB.
type bzip2Worker struct {
	in        bitReader
	crc       uint32 // of what the block expands to
	row       int    // which of the sorted rotations the block is
	groups    int
	selectors [1<<15 - 1]uint8 // by group: its code
	codes     [6]huffman
	used      int // of codes
	moves
	inverter
}

func newBzip2Worker() *bzip2Worker {
	w := new(bzip2Worker)
	w.last = make([]byte, maxBlock+8)
	return w
}

// read reads the block at a bit of src up to the last column of its sorted rotations, or until it is unwanted.
func (w *bzip2Worker) read(src *window, bit int64, unwanted <-chan struct{}) error {
	err := w.in.seek(src, bit, unwanted)
	if err == nil {
		err = w.header()
	}
	if err == nil {
		err = w.symbols()
	}
	switch {
	case w.in.past(): // and so it means nothing that err found there
		return io.EOF
	case err == nil && w.row >= w.n:
		return corrupt("a block that starts at none of its rows")
	}
	return err
}

// header reads the block's header from its magic on: fields, codes and which code is for which symbols.
func (w *bzip2Worker) header() error {
	w.in.skip(48)
	w.crc = uint32(w.in.take(32))
	if err := w.in.ensure(mostBytes); err != nil {
		return err
	}
	if w.in.take(1) != 0 {
		return errRandomised
	}
	w.row = int(w.in.take(24))
	if err := w.bytesInUse(); err != nil {
		return err
	}
	return w.readCodes()
}

// bytesInUse reads the list of bytes that the block has: 16 bits for 16 ranges, and 16 for each range that is in use.
func (w *bzip2Worker) bytesInUse() error {
	ranges := w.in.take(16)
	n := 0
	for hi := range 16 {
		if ranges>>(15-hi)&1 == 0 {
			continue
		}
		used := w.in.take(16)
		for lo := range 16 {
			if used>>(15-lo)&1 != 0 {
				w.list[n] = byte(hi<<4 | lo)
				n++
			}
		}
	}
	if n == 0 {
		return corrupt("a block in which no byte is in use")
	}
	w.eob = uint16(n + 1)
	return nil
}

func (w *bzip2Worker) readCodes() error {
	w.used = int(w.in.take(3))
	if w.used < 2 || w.used > len(w.codes) {
		return corrupt(fmt.Sprintf("a block of %d codes", w.used))
	}
	if err := w.readSelectors(); err != nil {
		return err
	}
	for i := range w.used {
		if err := w.readCode(&w.codes[i]); err != nil {
			return err
		}
	}
	return nil
}

// readSelectors reads which code each group of symbols is in. More selectors than a block can use are accepted, as
// bzip2 1.0.8 does: some encoders write them.
func (w *bzip2Worker) readSelectors() error {
	w.groups = int(w.in.take(15))
	if w.groups == 0 {
		return corrupt("a block without selectors")
	}
	order := [6]uint8{0, 1, 2, 3, 4, 5}
	for i := range w.groups {
		if err := w.in.ensure(8); err != nil {
			return err
		}
		k := 0
		for w.in.take(1) != 0 {
			if k++; k == w.used {
				return corrupt("a selector of a code that does not exist")
			}
		}
		chosen := order[k]
		copy(order[1:k+1], order[:k])
		order[0] = chosen
		w.selectors[i] = chosen
	}
	return nil
}

// readCode reads a code's lengths, each as steps from the one before.
func (w *bzip2Worker) readCode(h *huffman) error {
	var lengths [maxSymbols]uint8
	length := int(w.in.take(5))
	for i := range w.eob + 1 {
		for {
			if err := w.in.ensure(8); err != nil {
				return err
			}
			if length < 1 || length > maxWord {
				return corrupt("a codeword of more than 20 bits, or of none")
			}
			if w.in.take(1) == 0 {
				break
			}
			length += 1 - 2*int(w.in.take(1))
		}
		lengths[i] = uint8(length)
	}
	if !h.build(lengths[:w.eob+1]) {
		return corrupt("a code with more codewords than fit")
	}
	return nil
}
