package decompress

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// The flags of a gzip header (RFC 1952, 2.3.1).
const (
	gzipHeaderCRC = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4
	gzipReserved  = 0xe0
)

// maxGzipHeader bounds a member's header. Nothing in it is needed, so nothing of it is held; but a name without an end
// would be read for ever.
const maxGzipHeader = 1 << 20

// gzipHeader is what is left to read of a header.
type gzipHeader struct {
	*gzipFile
	left int
	crc  uint32
}

// header reads over a member's header.
func (g *gzipFile) header() error {
	h := gzipHeader{gzipFile: g, left: maxGzipHeader}
	b, err := h.fixed(10)
	if err != nil {
		return err
	}
	flags := b[3]
	switch {
	case b[0] != 0x1f || b[1] != 0x8b || b[2] != 8:
		return g.bad("it uses method %d, and 8 (deflate) is the only one there is", b[2])
	case flags&gzipReserved != 0:
		return g.bad("it has flags set that are reserved (%#x)", flags)
	}
	if flags&gzipExtra != 0 {
		err = h.extra()
	}
	if err == nil && flags&gzipName != 0 {
		err = h.text()
	}
	if err == nil && flags&gzipComment != 0 {
		err = h.text()
	}
	if err == nil && flags&gzipHeaderCRC != 0 {
		err = h.checksum()
	}
	return err
}

// fixed reads a field of n bytes.
func (h *gzipHeader) fixed(n int) ([]byte, error) {
	b, _, err := h.peek(n)
	if err != nil {
		return nil, err
	}
	if len(b) < n {
		return nil, h.truncated()
	}
	field := bytes.Clone(b[:n])
	return field, h.pass(b[:n])
}

// extra reads over the extra field.
func (h *gzipHeader) extra() error {
	b, err := h.fixed(2)
	if err != nil {
		return err
	}
	for n := int(binary.LittleEndian.Uint16(b)); n > 0; {
		b, _, err := h.peek(1)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return h.truncated()
		}
		b = b[:min(n, len(b))]
		n -= len(b)
		if err := h.pass(b); err != nil {
			return err
		}
	}
	return nil
}

// text reads over a name or comment and the zero that ends it.
func (h *gzipHeader) text() error {
	for {
		b, _, err := h.peek(1)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return h.truncated()
		}
		end := bytes.IndexByte(b, 0)
		if end >= 0 {
			return h.pass(b[:end+1])
		}
		if err := h.pass(b); err != nil {
			return err
		}
	}
}

// checksum compares the header's checksum: the lower half of the CRC-32 of what stands before it.
func (h *gzipHeader) checksum() error {
	want := uint16(h.crc)
	b, err := h.fixed(2)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint16(b) != want {
		return h.bad("it does not match its checksum")
	}
	return nil
}

func (h *gzipHeader) pass(b []byte) error {
	h.crc = crc32.Update(h.crc, crc32.IEEETable, b)
	if h.left -= len(b); h.left < 0 {
		return h.bad("its name or comment is longer than %d bytes", maxGzipHeader)
	}
	h.use(len(b))
	return nil
}
