package vhdx

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"
)

var le = binary.LittleEndian

// sparse is a file in memory of which only what was written takes space.
type sparse struct {
	size  int64
	pages map[int64][]byte // of 4 KiB
}

func (f *sparse) page(at int64, create bool) []byte {
	b := f.pages[at/4096]
	if b == nil && create {
		b = make([]byte, 4096)
		f.pages[at/4096] = b
	}
	return b
}

func (f *sparse) write(off int64, b []byte) {
	f.size = max(f.size, off+int64(len(b)))
	for len(b) > 0 {
		n := copy(f.page(off, true)[off%4096:], b)
		b, off = b[n:], off+int64(n)
	}
}

func (f *sparse) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < f.size {
		part := p[n:min(int64(len(p)), int64(n)+min(4096-off%4096, f.size-off))]
		if b := f.page(off, false); b == nil {
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

func (f *sparse) put16(off int64, v uint16) { f.write(off, le.AppendUint16(nil, v)) }
func (f *sparse) put32(off int64, v uint32) { f.write(off, le.AppendUint32(nil, v)) }
func (f *sparse) put64(off int64, v uint64) { f.write(off, le.AppendUint64(nil, v)) }

// save writes the file where qemu can read it.
func (f *sparse) save(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.vhdx")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Truncate(f.size); err != nil {
		t.Fatal(err)
	}
	for at, b := range f.pages {
		if _, err := w.WriteAt(b[:min(4096, f.size-at*4096)], at*4096); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Where build puts things.
const (
	logAt      = 1 * mib
	metadataAt = 2 * mib
	batAt      = 3 * mib
	dataAt     = 4 * mib
	itemsAt    = metadataAt + 64*kib
)

// disk describes a file for build. Zero fields have usual values.
type disk struct {
	size     uint64 // 8 MiB
	block    uint32 // 1 MiB
	sector   uint32 // 512
	physical uint32 // 4096
	bat      uint32 // bytes of the region; 1 MiB
	present  []int  // blocks in the order in which they stand in the file
}

func binaryGUID(text string) []byte {
	var a uint32
	var b, c uint16
	var d [8]byte
	if n, err := fmt.Sscanf(text, "%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X", &a, &b, &c,
		&d[0], &d[1], &d[2], &d[3], &d[4], &d[5], &d[6], &d[7]); n != 11 {
		panic(err)
	}
	return append(le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, a), b), c), d[:]...)
}

// build makes a VHDX file. Each present block is filled by pattern.
func build(d disk) *sparse {
	d.size, d.block, d.sector, d.physical, d.bat = or(d.size, 8*mib), or(d.block, mib), or(d.sector, 512), or(d.physical, 4096), or(d.bat, mib)
	f := &sparse{pages: map[int64][]byte{}}
	f.write(0, []byte(signature))
	for i, at := range []int64{headerOffset1, headerOffset2} {
		f.write(at, []byte("head"))
		f.put64(at+8, uint64(7+i))
		f.put16(at+66, 1)
		f.put32(at+68, mib)
		f.put64(at+72, logAt)
	}
	for _, at := range []int64{regionOffset1, regionOffset2} {
		f.write(at, []byte("regi"))
		f.put32(at+8, 2)
		f.region(at, 0, batRegion, batAt, d.bat, 1)
		f.region(at, 1, metadataRegion, metadataAt, mib, 1)
	}
	f.write(metadataAt, []byte("metadata"))
	f.item(fileParameters, 0, le.AppendUint32(le.AppendUint32(nil, d.block), 0))
	f.item(virtualDiskSize, 6, le.AppendUint64(nil, d.size))
	f.item(virtualDiskID, 6, make([]byte, 16))
	f.item(logicalSectorSize, 6, le.AppendUint32(nil, d.sector))
	f.item(physicalSectorSize, 6, le.AppendUint32(nil, d.physical))
	f.size = batAt + int64(d.bat)
	for _, b := range d.present {
		host := f.size
		f.place(d, b, host, fullyPresent)
		for at := int64(0); at < int64(d.block); at += 256 * kib {
			f.write(host+at, pattern(b, at))
		}
		f.size = host + int64(d.block)
	}
	f.seal()
	return f
}

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

// pattern is some bytes at a place in a block that stand nowhere else.
func pattern(block int, at int64) []byte {
	return fmt.Appendf(nil, "block %d byte %d ", block, at)
}

func (f *sparse) region(table int64, i int, id string, off uint64, length, required uint32) {
	at := table + 16 + int64(i)*32
	f.write(at, binaryGUID(id))
	f.put64(at+16, off)
	f.put32(at+24, length)
	f.put32(at+28, required)
}

// item adds an entry to the metadata table and puts its value behind the others.
func (f *sparse) item(id string, flags uint32, value []byte) {
	n := int64(le.Uint16(f.bytes(metadataAt+10, 2)))
	f.put16(metadataAt+10, uint16(n+1))
	f.entry(n, id, uint32(64*kib+n*32), uint32(len(value)), flags)
	f.write(itemsAt+n*32, value)
}

func (f *sparse) entry(i int64, id string, off, length, flags uint32) {
	at := metadataAt + (i+1)*32
	f.write(at, binaryGUID(id))
	f.put32(at+16, off)
	f.put32(at+20, length)
	f.put32(at+24, flags)
}

// place sets the table's entry of a block.
func (f *sparse) place(d disk, block int, host int64, state uint64) {
	chunk := 8 * mib * int(or(d.sector, 512)) / int(or(d.block, mib))
	f.put64(batAt+8*int64(block+block/chunk), uint64(host)|state)
}

// seal makes the checksums of the header section right. It does not use the reader's own function.
func (f *sparse) seal() {
	for at, n := range map[int64]int{headerOffset1: 4096, headerOffset2: 4096, regionOffset1: 64 * kib, regionOffset2: 64 * kib} {
		f.put32(at+4, 0)
		f.put32(at+4, crc32.Checksum(f.bytes(at, n), crc32.MakeTable(crc32.Castagnoli)))
	}
}

// update is one write of a log entry: data, or zeros if there is none.
type update struct {
	off    uint64
	data   []byte // one sector
	length uint64 // of zeros
}

// logEntry is what a log entry is made of.
type logEntry struct {
	at            int // sector of the log
	tail          int // sector of the log
	sequence      uint64
	flushed, last uint64 // usual: the file's size
	padding       int    // sectors
	updates       []update
}

var logID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func (e logEntry) encode(guid [16]byte) []byte {
	descriptors := (64 + 32*len(e.updates) + 4095) / 4096
	b := make([]byte, descriptors*4096)
	for i, u := range e.updates {
		d := b[64+32*i:]
		le.PutUint64(d[16:], u.off)
		le.PutUint64(d[24:], e.sequence)
		if u.data == nil {
			copy(d, "zero")
			le.PutUint64(d[8:], u.length)
			continue
		}
		copy(d, "desc")
		copy(d[4:8], u.data[4092:])
		copy(d[8:16], u.data)
		b = append(b, "data"...)
		b = le.AppendUint32(b, uint32(e.sequence>>32))
		b = append(b, u.data[8:4092]...)
		b = le.AppendUint32(b, uint32(e.sequence))
	}
	b = append(b, make([]byte, e.padding*4096)...)
	copy(b, "loge")
	le.PutUint32(b[8:], uint32(len(b)))
	le.PutUint32(b[12:], uint32(e.tail*4096))
	le.PutUint64(b[16:], e.sequence)
	le.PutUint32(b[24:], uint32(len(e.updates)))
	copy(b[32:], guid[:])
	le.PutUint64(b[48:], e.flushed)
	le.PutUint64(b[56:], e.last)
	le.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// logged makes the file dirty and writes entries to its log.
func (f *sparse) logged(entries ...logEntry) *sparse {
	for _, at := range []int64{headerOffset1, headerOffset2} {
		f.write(at+48, logID[:])
	}
	f.seal()
	for _, e := range entries {
		e.flushed, e.last = or(e.flushed, uint64(f.size)), or(e.last, uint64(f.size))
		for i, b := 0, e.encode(logID); i < len(b); i += 4096 {
			f.write(logAt+int64(e.at*4096+i)%mib, b[i:i+4096])
		}
	}
	return f
}
