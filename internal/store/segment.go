package store

import (
	"errors"
	"fmt"
	"io"
)

// Disk is what a write needs of a guest's disk, and what a Reader is: disk.Disk, word for word. It stands here too so
// that the store does not depend on every format.
type Disk interface {
	// ReadAt reads guest bytes; holes read as zeros.
	io.ReaderAt

	// Size is the disk's size in bytes, final once NextData has returned io.EOF.
	Size() int64

	// NextData returns the first range [start, end) at or after off that holds data, clipped to off, or io.EOF.
	NextData(off int64) (start, end int64, err error)
}

const (
	segmentSize = 1 << 20

	// carryMax is the most that one segment leaves to the next: a chunk that is not cut yet and zero pages that may
	// still become part of a hole.
	carryMax = maxChunk + holeRun*pageSize

	// outSize has room for all of a segment, and for what an encoder may need beyond a chunk before it is given up.
	outSize = carryMax + segmentSize + 32<<10
)

// segment is a piece of guest data on its way through a write: what the stages hand on, and the unit in which memory
// is counted. Its buffer begins with room for what the segment before leaves over.
type segment struct {
	buf    []byte // carryMax + segmentSize bytes
	used   int    // end of the runs in buf
	runs   []run
	pieces []piece
	pages  []pageKind // of the runs, in order
	chunks []chunk
	end    int64 // guest offset up to which the disk is covered

	permits chan struct{} // what it has a permit of

	out  *[]byte       // the chunks that are new, compressed; nil: there is none
	done chan struct{} // tells the stage that works on the segment that a worker is through with it
}

// run is a stretch of the guest with no hole of the map in it. It begins at a page and ends at one or with the disk.
type run struct {
	off   int64 // guest
	at, n int   // in buf
}

// piece is mapped data to be read into buf; what no piece covers is zeros.
type piece struct {
	off   int64 // guest
	at, n int   // in buf
}

func newSegment() *segment {
	return &segment{buf: make([]byte, carryMax+segmentSize), done: make(chan struct{}, 1)}
}

func (s *segment) reset() {
	s.used, s.end, s.out = carryMax, 0, nil
	s.runs, s.pieces, s.pages, s.chunks = s.runs[:0], s.pieces[:0], s.pages[:0], s.chunks[:0]
}

// last returns the run being filled, or nil.
func (s *segment) last() *run {
	if len(s.runs) == 0 {
		return nil
	}
	return &s.runs[len(s.runs)-1]
}

// add notes that the guest bytes [start, end), which lie in the last run, are mapped.
func (s *segment) add(start, end int64) {
	r := s.last()
	at := r.at + int(start-r.off)
	if n := len(s.pieces); n > 0 {
		if p := &s.pieces[n-1]; p.off+int64(p.n) == start && p.at+p.n == at {
			p.n += int(end - start)
			return
		}
	}
	s.pieces = append(s.pieces, piece{off: start, at: at, n: int(end - start)})
}

// read fills the runs from the disk and judges their pages.
func (s *segment) read(d Disk) error {
	at := carryMax
	for _, p := range s.pieces {
		clear(s.buf[at:p.at])
		at = p.at + p.n
		n, err := d.ReadAt(s.buf[p.at:at], p.off)
		if n == p.n {
			continue
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("disk of %d bytes ends in its own map: %d of %d bytes at %d: %w", d.Size(), n, p.n, p.off, io.ErrUnexpectedEOF)
		}
		return err
	}
	clear(s.buf[at:s.used])
	for _, r := range s.runs {
		for n := 0; n < r.n; n += pageSize {
			s.pages = append(s.pages, judge(s.buf[r.at+n:r.at+min(n+pageSize, r.n)]))
		}
	}
	return nil
}
