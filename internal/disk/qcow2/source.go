package qcow2

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"ingot/internal/refusal"
)

// source reads the image file and tells its end, which is the image's fault, from errors of whatever it comes from.
type source struct {
	r       io.ReaderAt
	size    int64        // -1: not known
	arrived atomic.Int64 // a file arrives in order: what lies below a byte that was read is there too
	release func(off, n int64)
}

// fill reads all of p, or fails.
func (s *source) fill(p []byte, off int64, what string) error {
	_, err := s.atLeast(len(p), p, off, what)
	return err
}

// atLeast reads all of p, of which the bytes after the first least may lie beyond the file's end. off + len(p) must not
// overflow.
func (s *source) atLeast(least int, p []byte, off int64, what string) (int, error) {
	if !s.mayHold(off + int64(least)) {
		return 0, truncated(off, what)
	}
	n, err := s.r.ReadAt(p, off)
	s.saw(off + int64(n))
	switch {
	case n == len(p):
		return n, nil
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if n < least {
			return n, truncated(off, what)
		}
		return n, nil
	}
	return n, fmt.Errorf("qcow2: reading %s at byte %d: %w", what, off, err)
}

// mayHold reports whether the file can have end bytes as far as is known without reading.
func (s *source) mayHold(end int64) bool { return s.size < 0 || end <= s.size }

// here reports whether the file's first end bytes can be read without waiting for more to arrive.
func (s *source) here(end int64) bool { return end <= s.arrived.Load() }

// reach waits until the file has end bytes, end > 0. Sizes that the file names are allocated only after it.
func (s *source) reach(end int64, what string) error {
	if s.here(end) {
		return nil
	}
	var b [1]byte
	return s.fill(b[:], end-1, what)
}

func (s *source) saw(end int64) {
	for old := s.arrived.Load(); end > old; old = s.arrived.Load() {
		if s.arrived.CompareAndSwap(old, end) {
			return
		}
	}
}

func (s *source) done(off, end int64) {
	if s.release != nil && off < end {
		s.release(off, end-off)
	}
}

func truncated(off int64, what string) error {
	return refusal.New("qcow2_truncated", "The image is incomplete: %s belongs at byte %d of the file, and the file "+
		"ends before its end. Compare the file with the original and transfer it again.", what, off)
}
