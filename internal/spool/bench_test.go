package spool

import (
	"io"
	"os"
	"testing"
)

const benchSize = 256 << 20

// stream gives data that is not zero, from memory, step bytes at a time.
type stream struct{ left, step int }

var benchBlock = func() []byte {
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = byte(i*7) | 1
	}
	return b
}()

func (s *stream) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.left, s.step)], benchBlock)
	s.left -= n
	return n, nil
}

func benchSpool(b *testing.B, step int) {
	b.SetBytes(benchSize)
	for b.Loop() {
		s := open(b, &stream{benchSize, step}, Options{})
		if _, err := s.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func BenchmarkSpool(b *testing.B)      { benchSpool(b, 1<<20) }
func BenchmarkSpool16KiB(b *testing.B) { benchSpool(b, 16<<10) }
func BenchmarkSpool32KiB(b *testing.B) { benchSpool(b, 32<<10) }

// BenchmarkSpoolConsumed is what an import does: read behind the stream and release.
func BenchmarkSpoolConsumed(b *testing.B) {
	b.SetBytes(benchSize)
	buf := make([]byte, 64<<10)
	for b.Loop() {
		s := open(b, &stream{benchSize, 1 << 20}, Options{MaxAhead: 8 << 20})
		for off := int64(0); off < benchSize; off += int64(len(buf)) {
			if _, err := s.ReadAt(buf, off); err != nil {
				b.Fatal(err)
			}
			s.Release(off, int64(len(buf)))
		}
		s.Close()
	}
}

// BenchmarkCopy is the measure: the same stream by io.Copy to a file.
func BenchmarkCopy(b *testing.B) {
	b.SetBytes(benchSize)
	buf := make([]byte, 256<<10)
	for b.Loop() {
		f, err := os.CreateTemp(b.TempDir(), "copy")
		if err != nil {
			b.Fatal(err)
		}
		os.Remove(f.Name())
		if _, err := io.CopyBuffer(struct{ io.Writer }{f}, &stream{benchSize, 1 << 20}, buf); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkZeros(b *testing.B) {
	b.SetBytes(benchSize)
	for b.Loop() {
		s := open(b, io.LimitReader(endless{}, benchSize), Options{})
		if _, err := s.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
