package decompress

// maxWasted is how many blocks may be decoded that turn out to be none, before nothing is decoded any more but what is
// known to be a block. By chance there is one in 2^48 bits; a file with many was made to waste time.
const maxWasted = 16

// block is a place where a block starts, or seems to, and what was decoded from there.
type block struct {
	start   int64           // bit of the source where its magic is
	dropped chan struct{}   // closed when nobody wants it
	noGuess <-chan struct{} // closed when nobody wants any that was not sure; nil for one that is

	read chan struct{} // closed when its symbols are read, and so the next four are known
	end  int64         // bit of the source after it
	size int           // before runs are expanded
	crc  uint32        // as the block states it
	err  error

	pieces chan []byte // closed at its end, when sum and failed are known
	sum    uint32
	failed error // a panic in expanding it
}

// guess has what the scanner finds decoded. It goes without what a panic of the scanner leaves unfound.
func (f *bzip2File) guess() {
	defer close(f.guesses)
	defer func() { recover() }()
	newScanner(f.src).run(func(bit int64) bool {
		b := newBlock(bit)
		b.noGuess = f.noGuess
		select {
		case f.guesses <- b:
		case <-f.noGuess:
			return false
		case <-f.ctx.Done():
			return false
		}
		return f.give(b)
	})
}

func newBlock(start int64) *block {
	return &block{start: start, dropped: make(chan struct{}), read: make(chan struct{}), pieces: make(chan []byte, 4)}
}

// give waits for a worker to take the block.
func (f *bzip2File) give(b *block) bool {
	select {
	case f.work <- b:
		return true
	case <-b.noGuess:
	case <-f.ctx.Done():
	}
	return false
}

// take returns the block that starts at a bit, from those that were guessed if it can.
func (f *bzip2File) take(start int64) *block {
	for f.wasted < maxWasted {
		var b *block
		select {
		case b = <-f.guesses: // nil after the last
		case <-f.ctx.Done():
		}
		if b != nil && b.start == start {
			return b
		}
		if b == nil || b.start > start {
			break
		}
		close(b.dropped)
		f.wasted++
	}
	f.stopGuessing()
	b := newBlock(start)
	f.give(b)
	return b
}

// stopGuessing also frees the workers of what was guessed: they may all wait for what only comes when the block that
// nobody has begun yet is read.
func (f *bzip2File) stopGuessing() {
	select {
	case <-f.noGuess:
	default:
		close(f.noGuess)
		f.src.wake()
		f.wasted = maxWasted
	}
}
