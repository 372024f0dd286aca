package vdi

import (
	"fmt"
	"io"
)

const mib = 1 << 20

// sparse is a file in memory of which only what was written takes space.
type sparse struct {
	size  int64
	pages map[int64][]byte // of 4 KiB
}

func (f *sparse) write(off int64, b []byte) {
	f.size = max(f.size, off+int64(len(b)))
	for len(b) > 0 {
		page := f.pages[off/4096]
		if page == nil {
			page = make([]byte, 4096)
			f.pages[off/4096] = page
		}
		n := copy(page[off%4096:], b)
		b, off = b[n:], off+int64(n)
	}
}

func (f *sparse) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < f.size {
		part := p[n:min(int64(len(p)), int64(n)+min(4096-off%4096, f.size-off))]
		if b := f.pages[off/4096]; b == nil {
			clear(part)
		} else {
			copy(part, b[off%4096:])
		}
		n, off = n+len(part), off+int64(len(part))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *sparse) bytes(off int64, n int) []byte {
	b := make([]byte, n)
	f.ReadAt(b, off)
	return b
}

func (f *sparse) put32(off int64, v uint32) { f.write(off, le.AppendUint32(nil, v)) }
func (f *sparse) put64(off int64, v uint64) { f.write(off, le.AppendUint64(nil, v)) }

// disk describes a file for build.
type disk struct {
	size    int64
	present []int // blocks in the order in which they stand in the file
}

const mapAt = 512

// build makes a VDI file. Each block that is present is filled by pattern; the data start at once behind the map.
func build(d disk) *sparse {
	f := &sparse{pages: map[int64][]byte{}}
	blocks := (d.size + mib - 1) / mib
	f.dataAt((mapAt + 4*blocks + 511) / 512 * 512)
	f.write(0, []byte("<<< made for a test >>>\n"))
	f.write(signatureAt, []byte(signature))
	f.put32(0x44, version)
	f.put32(0x48, minHeaderSize)
	f.put32(0x4c, dynamic)
	f.put32(0x154, mapAt)
	f.put32(0x168, 512)
	f.put64(0x170, uint64(d.size))
	f.put32(0x178, mib)
	f.put32(0x180, uint32(blocks))
	f.put32(0x184, uint32(len(d.present)))
	for i := range blocks {
		f.put32(mapAt+4*i, free)
	}
	for place, block := range d.present {
		f.put32(mapAt+4*int64(block), uint32(place))
		start := f.size
		for at := int64(0); at < mib; at += 256 << 10 {
			f.write(start+at, pattern(block, at))
		}
		f.size = start + mib
	}
	return f
}

func (f *sparse) dataAt(at int64) {
	f.put32(0x158, uint32(at))
	f.size = at
}

// pattern is some bytes at a place in a block that stand nowhere else.
func pattern(block int, at int64) []byte {
	return fmt.Appendf(nil, "block %d byte %d ", block, at)
}

// guest is the disk that build makes a file of.
func guest(d disk) []byte {
	b := make([]byte, d.size)
	for _, block := range d.present {
		for at := int64(0); at < mib; at += 256 << 10 {
			if to := int64(block)*mib + at; to < d.size {
				copy(b[to:], pattern(block, at))
			}
		}
	}
	return b
}
