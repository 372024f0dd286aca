package decompress

import "sync"

// bzip2Workers are kept: to touch fresh memory costs more than to decode a small file.
var bzip2Workers = sync.Pool{New: func() any { return newBzip2Worker() }}

// worker decodes blocks, one after the other.
func (f *bzip2File) worker() {
	var w *bzip2Worker // got when there is something to do: a small file never needs the second
	defer func() {
		if w != nil {
			w.in.src = nil
			bzip2Workers.Put(w)
		}
	}()
	for {
		select {
		case b := <-f.work:
			if w == nil {
				w = bzip2Workers.Get().(*bzip2Worker)
			}
			if !f.decode(w, b) {
				w = nil
			}
		case <-f.ctx.Done():
			return
		}
	}
}

// decode decodes a block, and hands its text over as far as anybody takes it. It reports false after an error, which
// may have been a panic: w is then in no state to go on.
func (f *bzip2File) decode(w *bzip2Worker, b *block) bool {
	defer close(b.pieces)
	b.err = protected(func() error { return w.read(f.src, b.start, b.noGuess) })
	b.end, b.size, b.crc = w.in.at(), w.n, w.crc
	close(b.read)
	if b.err != nil {
		return false
	}
	b.failed = protected(func() error {
		f.expand(w, b)
		return nil
	})
	return b.failed == nil
}

// expand makes the text of a block that has been read.
func (f *bzip2File) expand(w *bzip2Worker, b *block) {
	x := expander{piece: f.buffer(), send: func(piece []byte) ([]byte, bool) {
		select {
		case b.pieces <- piece:
			return f.buffer(), true
		case <-b.dropped:
		case <-b.noGuess:
		case <-f.ctx.Done():
		}
		return nil, false
	}}
	x.expand(w.invert(w.n, w.row))
	f.recycle(x.piece)
	b.sum = x.sum()
}

// buffer returns an empty piece.
func (f *bzip2File) buffer() []byte {
	select {
	case b := <-f.unused:
		return b
	default:
		return make([]byte, 0, pieceSize)
	}
}

// recycle keeps a piece for later.
func (f *bzip2File) recycle(piece []byte) {
	if piece == nil {
		return
	}
	select {
	case f.unused <- piece[:0]:
	default:
	}
}
