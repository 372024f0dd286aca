package vmdk

import (
	"bytes"
	"testing"
)

func BenchmarkReadAt(b *testing.B) {
	want := guest(32<<20, 41)
	for name, file := range map[string][]byte{"stream": makeStream(want, options{}).file, "sparse": makeSparse(want, options{}).file} {
		b.Run(name, func(b *testing.B) {
			d, err := Open(bytes.NewReader(file), -1, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, 1<<20)
				for off := int64(0); pb.Next(); off = (off + 1<<20) % d.Size() {
					if _, err := d.ReadAt(p, off); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkScan(b *testing.B) {
	want := guest(64<<20, 42)
	file := makeStream(want, options{}).file
	b.ReportAllocs()
	for b.Loop() {
		d, err := Open(bytes.NewReader(file), -1, nil)
		if err != nil {
			b.Fatal(err)
		}
		for off := int64(0); ; {
			_, end, err := d.NextData(off)
			if err != nil {
				break
			}
			off = end
		}
	}
}
