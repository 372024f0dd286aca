package decompress

import (
	"context"
	"errors"
	"io"
	"math/bits"
	"runtime"
)

// maxWorkers bounds the memory: a worker has 7 MB, and may be some 3 MB ahead.
const maxWorkers = 16

// errPassed is the answer to whoever reads what nobody can need any more.
var errPassed = errors.New("decompress: the bytes are no longer held")

// bzip2File decodes a bzip2 file: one stream or more, each of blocks that depend on nothing else. A scanner finds
// where blocks seem to start, workers decode from there ahead of need; and the reading goroutine goes from the end of
// each block to the start of the next, and takes what has been decoded from exactly there. So what the scanner
// finds decides over time alone, never over what comes out.
type bzip2File struct {
	ctx     context.Context
	src     *window
	guesses chan *block   // in order, what the scanner found
	work    chan *block   // what has no worker yet
	noGuess chan struct{} // closed when guesses are given up
	unused  chan []byte   // pieces to fill anew

	at      int64 // bit of the source: what comes next
	out     int64 // bytes handed over
	level   int   // of the stream, 1 to 9; 0 before the first and between two
	crc     uint32
	wasted  int
	current *block
	from    int64 // of current, in out
	piece   []byte
}

func newBzip2(ctx context.Context, r io.Reader) *bzip2File {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	f := &bzip2File{
		ctx:     ctx,
		src:     newWindow(ctx, r, maxBlockIn+(workers+1)<<20),
		guesses: make(chan *block, 2*workers),
		work:    make(chan *block),
		noGuess: make(chan struct{}),
		unused:  make(chan []byte, 8*workers),
	}
	for range workers {
		go f.worker()
	}
	go f.guess()
	return f
}

// next is for the reading goroutine, as decoder says.
func (f *bzip2File) next() ([]byte, error) {
	f.recycle(f.piece)
	f.piece = nil
	for {
		for f.current == nil {
			if err := f.advance(); err != nil {
				return nil, err
			}
		}
		select {
		case piece, ok := <-f.current.pieces:
			if ok {
				f.piece = piece
				f.out += int64(len(piece))
				return piece, nil
			}
		case <-f.ctx.Done():
			return nil, context.Cause(f.ctx)
		}
		if f.ctx.Err() != nil { // which ends pieces, too
			return nil, context.Cause(f.ctx)
		}
		if f.current.failed != nil {
			return nil, f.current.failed
		}
		if f.current.sum != f.current.crc {
			return nil, broken("bzip2_checksum", "The block from decompressed byte %d to %d does not match its checksum.", f.from, f.out)
		}
		f.crc = bits.RotateLeft32(f.crc, 1) ^ f.current.crc
		f.current = nil
	}
}

// advance goes on to the next block.
func (f *bzip2File) advance() error {
	if f.level == 0 {
		return f.streamHeader()
	}
	magic, err := f.bits(magicBits)
	switch {
	case err != nil:
		return err
	case magic == blockMagic:
		return f.block(f.at - magicBits)
	case magic == streamMagic:
		return f.streamEnd()
	}
	return f.corrupt("no block starts where the one before it ends")
}

// block waits until the symbols of the block that starts at a bit are read.
func (f *bzip2File) block(start int64) error {
	b := f.take(start)
	select {
	case <-b.read:
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
	switch {
	case b.err != nil:
		return f.failure(b.err)
	case b.size > f.level*maxBlock/9:
		return f.corrupt(errBlockSize)
	}
	f.current, f.from, f.at = b, f.out, b.end
	f.src.release(f.at >> 3)
	return nil
}
