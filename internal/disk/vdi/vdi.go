// Package vdi reads VirtualBox's disk images, version 1.1: dynamic and static ones. It never opens a parent: a
// differencing image is refused.
package vdi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"ingot/internal/disk/blocks"
	"ingot/internal/refusal"
)

const (
	signatureAt = 0x40
	signature   = "\x7f\x10\xda\xbe"
)

// Match reports whether the first bytes of a file, at least 68, say VDI. The text before the signature is for
// people and differs from writer to writer.
func Match(head []byte) bool {
	return len(head) >= signatureAt+len(signature) && string(head[signatureAt:][:len(signature)]) == signature
}

// Disk is the guest's disk in a VDI file. Its methods may be called by several goroutines at once.
type Disk struct {
	file   source
	blocks blocks.Disk
}

// Open reads and checks the header; the block map is read later, where it is needed. r gives the file's bytes, and
// size is their number, or -1 if that is not known yet: then r returns io.EOF past the end.
//
// What cannot be read as a disk is a *refusal.Error; an error of r itself is passed on wrapped.
func Open(r io.ReaderAt, size int64) (*Disk, error) {
	file := source{r: r, size: size}
	raw := make([]byte, headerSize)
	if err := file.read(raw[:signatureAt+len(signature)], 0, "header"); err != nil {
		return nil, err
	}
	if !Match(raw) {
		return nil, refusal.New("vdi_signature",
			"The file does not have the signature of a VDI disk. Look at what it is with: qemu-img info IMAGE")
	}
	if err := file.read(raw, 0, "header"); err != nil {
		return nil, err
	}
	h := parseHeader(raw)
	if err := h.check(); err != nil {
		return nil, err
	}
	if file.size >= 0 && file.size < int64(h.dataAt) {
		return nil, truncated("block map")
	}
	guest := h.guestSize()
	return &Disk{file: file, blocks: blocks.Disk{Bits: blockBits, Size: guest, Map: newTable(file, h, guest), Read: file.payload}}, nil
}

// NextData returns the first range of blocks that have data at or after off, adjacent ones as one of about 1 GiB at
// most. With none left it returns io.EOF. It reads only the block map, and no further than it must.
func (d *Disk) NextData(off int64) (start, end int64, err error) { return d.blocks.NextData(off) }

// ReadAt reads guest bytes, with one read of the file for each run of them that is contiguous there.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) { return d.blocks.ReadAt(p, off) }

// Size is the guest disk's size in bytes: a multiple of 512, below 1 PiB, and not bounded by the file's size.
func (d *Disk) Size() int64 { return d.blocks.Size }

// ReadOnce says that every guest byte will be read at most once from now on. If the io.ReaderAt that Open was given
// has a method Release(off, n int64), each range of the file that a ReadAt has read data from is then handed to it,
// and may be given back. Call it before the first ReadAt.
func (d *Disk) ReadOnce() {
	if r, ok := d.file.r.(interface{ Release(off, n int64) }); ok {
		d.blocks.Release = r.Release
	}
}

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
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return truncated(what)
	}
	return fmt.Errorf("read the %s of a VDI file at %d: %w", what, off, err)
}

func (s source) payload(p []byte, off int64) error { return s.read(p, off, "data") }

func truncated(what string) error {
	return refusal.New("vdi_truncated",
		"The VDI file ends before its %s does: it was cut short. Compare its size with the original's, and copy or upload it again.", what)
}

// damaged is a refusal of what no known writer leaves behind.
func damaged(code, format string, args ...any) error {
	return refusal.New(code, format+" The file is damaged or was badly made: copy it again, or convert the original again: qemu-img convert -O vdi INPUT OUTPUT.vdi", args...)
}

var le = binary.LittleEndian
