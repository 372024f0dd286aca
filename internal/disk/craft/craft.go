// Package craft makes small images of every format in code, byte by byte, for tests that damage one field of a sound
// file. It shares nothing with the readers that it tests.
package craft

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// File is an image file that grows with what is written to it. Numbers are little-endian but where the name says so.
type File struct {
	Bytes []byte
}

// Grow makes the file at least size bytes long.
func (f *File) Grow(size int64) {
	if n := size - int64(len(f.Bytes)); n > 0 {
		f.Bytes = append(f.Bytes, make([]byte, n)...)
	}
}

// Write writes at a place, beyond the end too.
func (f *File) Write(at int64, b ...byte) {
	f.Grow(at + int64(len(b)))
	copy(f.Bytes[at:], b)
}

// Text writes a string at a place.
func (f *File) Text(at int64, s string) { f.Write(at, []byte(s)...) }

// Put16 writes 16 bits.
func (f *File) Put16(at int64, v uint16) { f.Write(at, binary.LittleEndian.AppendUint16(nil, v)...) }

// Put32 writes 32 bits.
func (f *File) Put32(at int64, v uint32) { f.Write(at, binary.LittleEndian.AppendUint32(nil, v)...) }

// Put64 writes 64 bits.
func (f *File) Put64(at int64, v uint64) { f.Write(at, binary.LittleEndian.AppendUint64(nil, v)...) }

// Big32 writes 32 bits, big-endian.
func (f *File) Big32(at int64, v uint32) { f.Write(at, binary.BigEndian.AppendUint32(nil, v)...) }

// Big64 writes 64 bits, big-endian.
func (f *File) Big64(at int64, v uint64) { f.Write(at, binary.BigEndian.AppendUint64(nil, v)...) }

// Get64 reads 64 bits, big-endian.
func (f *File) Get64(at int64) uint64 { return binary.BigEndian.Uint64(f.Bytes[at:]) }

// add puts b at the end, padded to a multiple of unit, and returns its place.
func (f *File) add(b []byte, unit int) int64 {
	at := int64(len(f.Bytes))
	f.Bytes = append(f.Bytes, b...)
	f.Bytes = append(f.Bytes, make([]byte, -len(b)&(unit-1))...)
	return at
}

// Guest returns size bytes of a disk with a boot signature: about half of its 64 KiB pieces hold data that compress to
// about a half, the others are zeros. Equal seeds give equal bytes.
func Guest(size int, seed uint64) []byte {
	b := make([]byte, size)
	x := seed*0x9e3779b97f4a7c15 + 1
	for off := 0; off < size; off += 64 * kib {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if off > 0 && x%2 == 0 {
			continue
		}
		y := x
		for i := off; i+8 <= min(off+64*kib, size); i += 8 {
			y = y*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(b[i:], y>>32)
		}
	}
	if size >= 512 { // no partition, which a shorter disk could cut
		clear(b[:510])
		b[510], b[511] = 0x55, 0xaa
	}
	return b
}

func zlibbed(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b) // a bytes.Buffer takes everything
	w.Close()
	return out.Bytes()
}
