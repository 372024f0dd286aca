package decompress

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	faster "github.com/klauspost/compress/gzip"
)

const benchSize = 64 << 20

// systemDisk is bytes of this machine's own system, as a disk of it would hold; of words where it has none.
func systemDisk(b *testing.B) []byte {
	disk := bytes.NewBuffer(make([]byte, HeadSize, benchSize))
	n := 0
	err := filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if n++; err != nil || !d.Type().IsRegular() || n%13 != 0 {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		if io.Copy(disk, io.LimitReader(f, int64(min(4<<20, benchSize-disk.Len())))); disk.Len() == benchSize {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	words := rand.New(rand.NewPCG(1, 1))
	for disk.Len() < benchSize {
		disk.WriteString([]string{"mov ", "usr/lib/", "\x00\x00\x00\x00", "error: "}[words.IntN(4)])
	}
	return disk.Bytes()[:benchSize]
}

// bench measures decoders of one file; MB/s are of what comes out.
func bench(b *testing.B, packed []byte, size int64, decoders map[string]func(io.Reader) (io.Reader, error)) {
	for name, decoder := range decoders {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r, err := decoder(bytes.NewReader(packed))
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != size {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func ours(r io.Reader) (io.Reader, error) { return NewReader(context.Background(), r, large) }

func BenchmarkGzip(b *testing.B) {
	bench(b, piped(b, systemDisk(b), "gzip", "-6"), benchSize, map[string]func(io.Reader) (io.Reader, error){
		"ours":      ours,
		"klauspost": func(r io.Reader) (io.Reader, error) { return faster.NewReader(r) },
		"standard":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	})
}

func BenchmarkBzip2(b *testing.B) {
	bench(b, bzipped(b, systemDisk(b)), benchSize, map[string]func(io.Reader) (io.Reader, error){
		"ours":     ours,
		"standard": func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil },
	})
}

func BenchmarkZeros(b *testing.B) {
	zeros := make([]byte, 256<<20)
	bench(b, gzipped(b, zeros), int64(len(zeros)), map[string]func(io.Reader) (io.Reader, error){"gzip": ours})
	bench(b, bzipped(b, zeros), int64(len(zeros)), map[string]func(io.Reader) (io.Reader, error){"bzip2": ours})
}

func BenchmarkNotWrapped(b *testing.B) {
	disk := make([]byte, 256<<20)
	bench(b, disk, int64(len(disk)), map[string]func(io.Reader) (io.Reader, error){"ours": ours})
}
