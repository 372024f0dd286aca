package vhdx

import (
	"io"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

// parts are the places of a file that a fuzzer changes, at the size at which they are interesting; the rest is zeros.
// That keeps its inputs small, though nothing in a file of this format is.
var parts = []struct{ at, size int64 }{
	{headerOffset1, 80}, {headerOffset2, 80}, {regionOffset1, 112}, {regionOffset2, 112},
	{metadataAt, 256}, {itemsAt, 224}, {batAt, 256}, {logAt, 12 << 10},
}

// FuzzOpen opens, maps and reads files made of parts, with right checksums, so that it gets past them. There may be
// any refusal, but nothing else, no panic, and no range outside the disk.
func FuzzOpen(f *testing.F) {
	add := func(s *sparse) {
		var b [8][]byte
		for i, p := range parts {
			b[i] = s.bytes(p.at, int(p.size))
		}
		for _, known := range []bool{true, false} {
			f.Add(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], uint16(s.size/mib), known)
		}
	}
	add(build(disk{present: []int{0, 7, 3}}))
	add(build(disk{size: 5 * gib, sector: 4096, block: 4 * mib, present: []int{0, 1}}))
	moved := update{off: batAt, data: batSector(map[int]int64{3: dataAt})}
	add(build(disk{present: []int{0}}).logged(logEntry{sequence: 1, updates: []update{moved, {off: batAt, length: 4096}}}))
	add(build(disk{present: []int{0}}).logged(logEntry{sequence: 1, updates: []update{{off: batAt + 4096, length: 4096}}},
		logEntry{at: 1, sequence: 2, last: 9 * mib, updates: []update{moved}}))
	add(build(disk{present: []int{0, 1}}).logged(logEntry{sequence: 1, updates: regionUpdates()[:1]}))

	f.Fuzz(func(t *testing.T, h1, h2, r1, r2, metadata, items, bat, log []byte, size uint16, known bool) {
		s := &sparse{pages: map[int64][]byte{}}
		s.write(0, []byte(signature))
		for i, b := range [][]byte{h1, h2, r1, r2, metadata, items, bat, log} {
			s.write(parts[i].at, b[:min(len(b), 64*kib)])
		}
		s.seal()
		for at := int64(0); at < int64(len(log)); at += 4096 {
			if n := int64(le.Uint32(s.bytes(logAt+at+8, 4))); string(s.bytes(logAt+at, 4)) == "loge" && n >= 4096 && n < 64*kib {
				s.sealEntry(at/4096, n/4096)
			}
		}
		s.size = int64(size) * mib
		want := int64(-1)
		if known {
			want = s.size
		}
		drain(t, s, want)
	})
}

func drain(t *testing.T, r io.ReaderAt, size int64) {
	d, err := Open(r, size)
	if err != nil {
		if refusal.As(err) == nil {
			t.Fatalf("not a refusal: %v", err)
		}
		return
	}
	if d.Size() >= 100e9 {
		return // the importer would go no further
	}
	disktest.Drain(t, d, 4*mib)
	if n, err := d.ReadAt(make([]byte, 1000), d.Size()-500); err == nil || n == 500 && err != io.EOF {
		t.Fatalf("ReadAt over the end = %d, %v", n, err)
	}
}
