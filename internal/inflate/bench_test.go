package inflate

import (
	"bytes"
	"compress/flate"
	"hash/adler32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	fast "github.com/klauspost/compress/flate"
)

// cluster is what a qcow2 cluster or a VMDK grain holds.
const cluster = 64 << 10

// systemFiles returns bytes of this machine's own system, as an image of it would hold, up to limit.
func systemFiles(b *testing.B, limit int64) []byte {
	var text bytes.Buffer
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
		if io.Copy(&text, io.LimitReader(f, min(1<<20, limit-int64(text.Len())))); int64(text.Len()) == limit {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil || text.Len() < cluster {
		b.Skip("this machine has no files in /usr")
	}
	return text.Bytes()
}

func BenchmarkClusters(b *testing.B) {
	text := systemFiles(b, 16<<20)
	var packed [][]byte
	for ; len(text) >= cluster; text = text[cluster:] {
		packed = append(packed, deflate(b, text[:cluster], 6))
	}
	dst := make([]byte, cluster)
	run := func(name string, inflate func(src []byte) error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(packed)) * cluster)
			for b.Loop() {
				for _, src := range packed {
					if err := inflate(src); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	run("inflate", func(src []byte) error {
		_, _, err := Inflate(dst, src)
		return err
	})
	kr, sr := fast.NewReader(nil), flate.NewReader(nil)
	run("klauspost", func(src []byte) error {
		if err := kr.(fast.Resetter).Reset(bytes.NewReader(src), nil); err != nil {
			return err
		}
		_, err := io.ReadFull(kr, dst)
		return err
	})
	run("standard", func(src []byte) error {
		if err := sr.(flate.Resetter).Reset(bytes.NewReader(src), nil); err != nil {
			return err
		}
		_, err := io.ReadFull(sr, dst)
		return err
	})
}

func BenchmarkAdler(b *testing.B) {
	text := make([]byte, cluster)
	for name, sum := range map[string]func([]byte) uint32{"inflate": adler, "standard": adler32.Checksum} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(cluster)
			for b.Loop() {
				sum(text)
			}
		})
	}
}
