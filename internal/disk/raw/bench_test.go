package raw

import (
	"bytes"
	"testing"
)

func BenchmarkStream(b *testing.B) {
	for name, data := range map[string][]byte{
		"data":  withMBR(bytes.Repeat([]byte("some data "), 6<<20)),
		"zeros": withMBR(make([]byte, 64<<20)),
		"mixed": noise(64<<20, 1),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			p := make([]byte, batch)
			for b.Loop() {
				s := stream(b, data, -1)
				for off := int64(0); ; {
					start, end, err := s.NextData(off)
					if err != nil {
						break
					}
					if _, err := s.ReadAt(p[:end-start], start); err != nil {
						b.Fatal(err)
					}
					off = end
				}
			}
		})
	}
}
