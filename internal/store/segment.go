package store

import (
	"context"
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

// walker turns the map of a disk into segments. Each mapped byte is in exactly one piece, in ascending order. A gap of
// the map that is too short for a hole becomes zeros in a run; so each gap that remains is a hole whatever stands
// beside it.
type walker struct {
	disk  Disk
	fresh func(context.Context) (*segment, error)
	emit  func(context.Context, *segment) error
	seg   *segment // being filled; nil: none
	next  int64    // where the last run ends, or the next begins: at a page
}

// walk ends with the disk. A segment goes out as soon as it is full, since a disk that is a stream may keep no more
// than a few segments for those who have not read yet; but its last page is held back while more of it may come.
func (w *walker) walk(ctx context.Context) error {
	for off := int64(0); ; {
		start, end, err := w.disk.NextData(off)
		if errors.Is(err, io.EOF) {
			return w.finish(ctx)
		}
		if err != nil {
			return err
		}
		if start < off || end <= start || end > w.disk.Size() {
			return fmt.Errorf("disk of %d bytes maps [%d, %d) after %d", w.disk.Size(), start, end, off)
		}
		if err := w.add(ctx, start, end); err != nil {
			return err
		}
		off = end
	}
}

func (w *walker) add(ctx context.Context, start, end int64) error {
	first := pageFloor(start)
	if first-w.next >= holeRun*pageSize {
		w.next = first
	}
	for w.next < first {
		if err := w.grow(ctx, first); err != nil {
			return err
		}
	}
	for start < end {
		if w.next <= start {
			if err := w.grow(ctx, pageCeil(end)); err != nil {
				return err
			}
		}
		stop := min(end, w.next)
		w.seg.add(start, stop)
		start = stop
	}
	if w.next == end && w.seg.used == len(w.seg.buf) {
		return w.flush(ctx)
	}
	return nil
}

// grow extends the guest's data towards to, as far as a segment has room, by at least a page.
func (w *walker) grow(ctx context.Context, to int64) error {
	if w.seg != nil && w.seg.used == len(w.seg.buf) {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.seg == nil {
		var err error
		if w.seg, err = w.fresh(ctx); err != nil {
			return err
		}
	}
	s := w.seg
	if r := s.last(); r == nil || r.off+int64(r.n) != w.next {
		s.runs = append(s.runs, run{off: w.next, at: s.used})
	}
	n := min(to-w.next, int64(len(s.buf)-s.used))
	s.last().n += int(n)
	s.used += int(n)
	w.next += n
	return nil
}

// finish turns a short gap at the end of the disk into zeros, and cuts the last page to the disk's size.
func (w *walker) finish(ctx context.Context) error {
	size := w.disk.Size()
	total := pageCeil(size)
	if total-w.next < holeRun*pageSize {
		for w.next < total {
			if err := w.grow(ctx, total); err != nil {
				return err
			}
		}
	}
	if w.seg == nil {
		return nil
	}
	if over := int(w.next - size); over > 0 {
		w.seg.last().n -= over
		w.seg.used -= over
	}
	return w.flush(ctx)
}

func (w *walker) flush(ctx context.Context) error {
	s := w.seg
	w.seg = nil
	s.end = s.last().off + int64(s.last().n)
	return w.emit(ctx, s)
}
