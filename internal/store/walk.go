package store

import (
	"context"
	"errors"
	"fmt"
	"io"
)

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
