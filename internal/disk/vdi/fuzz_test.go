package vdi

import (
	"io"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

// FuzzOpen opens, maps and reads files whose first bytes are the fuzzer's and whose data are zeros, which keeps its
// inputs small. There may be any refusal, but nothing else, no panic, and no range outside the disk.
func FuzzOpen(f *testing.F) {
	add := func(s *sparse, head int) {
		f.Add(s.bytes(0, head), s.size, true)
		f.Add(s.bytes(0, head), s.size, false)
	}
	add(build(disk{size: 8 * mib, present: []int{0, 7, 3}}), 1024)
	add(build(disk{size: 5*mib + 512, present: []int{5}}), 1024)
	large := build(disk{size: 9000 * mib, present: []int{8192, 0}})
	add(large, 512+9000*4)
	static := build(disk{size: 3 * mib, present: []int{0, 1, 2}})
	static.put32(0x4c, 2)
	add(static, 1024)

	f.Fuzz(func(t *testing.T, head []byte, size int64, known bool) {
		s := &sparse{pages: map[int64][]byte{}}
		s.write(0, head)
		s.size = max(0, size)
		want := int64(-1)
		if known {
			want = s.size
		}
		d, err := Open(s, want)
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
	})
}
