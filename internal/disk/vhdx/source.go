package vhdx

import (
	"errors"
	"fmt"
	"io"
	"math"

	"ingot/internal/refusal"
)

// source is the file: its bytes and, unless it is still arriving, their number.
type source struct {
	r    io.ReaderAt
	size int64 // -1: not known yet; then only reads find the end
}

// read fills p from the file at off. what names the part for the message.
func (s source) read(p []byte, off int64, what string) error {
	if s.size >= 0 && off > s.size-int64(len(p)) {
		return truncated(what)
	}
	n, err := s.r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || atEnd(err):
		return truncated(what)
	}
	return fmt.Errorf("read the %s of a VHDX file at %d: %w", what, off, err)
}

func (s source) payload(p []byte, off int64) error { return s.read(p, off, "data") }

// holds reports whether the file has a byte at off. Where the size is not known, it waits for that byte.
func (s source) holds(off int64) (bool, error) {
	if s.size >= 0 {
		return off < s.size, nil
	}
	var b [1]byte
	n, err := s.r.ReadAt(b[:], off)
	if n == 1 {
		return true, nil
	}
	if err == nil || atEnd(err) {
		return false, nil
	}
	return false, fmt.Errorf("read a VHDX file at %d: %w", off, err)
}

func atEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func truncated(what string) error {
	return refusal.New("vhdx_truncated",
		"The VHDX file ends before its %s does: it was cut short. Compare its size with the original's, and copy or upload it again.", what)
}

// damaged is a refusal of what no writer that keeps to the specification leaves behind.
func damaged(code, format string, args ...any) error {
	return refusal.New(code, format+" The file is damaged or was badly made: copy it again, or convert the original again: qemu-img convert -O vhdx INPUT OUTPUT.vhdx", args...)
}

// rewrite is the advice for a file that is sound but uses what is not known here: Hyper-V's own tool writes a plain one.
const rewrite = "Rewrite the disk with Hyper-V's tool: Convert-VHD -Path INPUT.vhdx -DestinationPath OUTPUT.vhdx"

// span is a range of the file, in bytes, end exclusive.
type span struct{ start, end int64 }

// place makes a span of two fields as the file has them: both multiples of 1 MiB, and behind the header section.
func place(off uint64, length uint32) (span, bool) {
	if off < mib || off%mib != 0 || length%mib != 0 || off > math.MaxInt64-uint64(length) {
		return span{}, false
	}
	return span{int64(off), int64(off) + int64(length)}, true
}
