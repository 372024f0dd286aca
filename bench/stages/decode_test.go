package stages

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"

	"ingot/bench/testdisk"
	"ingot/internal/decompress"
	"ingot/internal/disk"
	"ingot/internal/disk/raw"
	"ingot/internal/image"
	"ingot/internal/source"
	"ingot/internal/spool"
)

// BenchmarkReceive is a download alone: HTTP from another process, and the digest of what arrives.
func BenchmarkReceive(b *testing.B) {
	f, size := testFile(b, "disk.qcow2")
	host := fileServer(b)
	client := newClient(b, host)
	buf := make([]byte, 256<<10)
	measure(b, func() int64 {
		s := must(client.Open(b.Context(), "http://"+host+"/disk.qcow2"))(b)
		defer s.Close()
		for {
			if _, err := s.Read(buf); err == io.EOF {
				return size
			} else if err != nil {
				b.Fatal(f.Name(), err)
			}
		}
	})
}

func newClient(b *testing.B, host string) *source.Client {
	b.Helper()
	allow := must(source.ParseAllow(host))(b)
	return must(source.New(source.Options{Allow: []source.Allow{allow}}))(b)
}

// BenchmarkSHA256 is the digest of what arrives, and of each chunk.
func BenchmarkSHA256(b *testing.B) {
	data := make([]byte, 64<<20)
	measure(b, func() int64 {
		sha256.Sum256(data)
		return int64(len(data))
	})
}

// BenchmarkSpool writes a file to a spool, and reads it back and releases it close behind, as an import does.
func BenchmarkSpool(b *testing.B) {
	f, _ := testFile(b, "disk.qcow2")
	buf := make([]byte, 1<<20)
	measure(b, func() int64 {
		must(f.Seek(0, io.SeekStart))(b)
		s := must(spool.New(b.TempDir(), struct{ io.Reader }{f}, spool.Options{MaxAhead: 8 << 20, Memory: 16 << 20}))(b)
		defer s.Close()
		for off := int64(0); ; {
			n, err := s.ReadAt(buf, off)
			s.Release(off, int64(n))
			if off += int64(n); err == io.EOF {
				return off
			} else if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkUnpack is a wrapper alone; the bytes are those that come out.
func BenchmarkUnpack(b *testing.B) {
	for _, c := range testdisk.Kinds {
		if !strings.Contains(c.Name, ".") {
			continue
		}
		b.Run(c.Name, func(b *testing.B) {
			f, size := testFile(b, nameOf(c.Suffix))
			measure(b, func() int64 {
				r := must(decompress.NewReader(b.Context(), io.NewSectionReader(f, 0, size), image.MaxSize))(b)
				defer r.Close()
				return must(r.WriteTo(io.Discard))(b)
			})
		})
	}
}

// BenchmarkFormat reads all data of a disk in order, a mebibyte at a time, from its file. For a wrapped one and for
// raw it is not asked.
func BenchmarkFormat(b *testing.B) {
	for _, c := range testdisk.Kinds {
		if strings.Contains(c.Name, ".") {
			continue
		}
		b.Run(c.Name, func(b *testing.B) {
			f, size := testFile(b, nameOf(c.Suffix))
			measure(b, func() int64 { return drain(b, must(disk.Open(c.Format, f, size, nil))(b)) })
		})
	}
}

// drain reads a disk's data and returns how much it is.
func drain(b *testing.B, d disk.Disk) (total int64) {
	buf := make([]byte, 1<<20)
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if errors.Is(err, io.EOF) {
			return total
		}
		if err != nil {
			b.Fatal(err)
		}
		for at := start; at < end; {
			n, err := d.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			if n == 0 {
				b.Fatal(err)
			}
			at += int64(n)
		}
		total += end - start
		off = end
	}
}

// BenchmarkRaw finds the data in a raw disk that arrives in order, and hands it over.
func BenchmarkRaw(b *testing.B) {
	f, size := testFile(b, "disk.raw")
	head := make([]byte, disk.HeadSize)
	must(f.ReadAt(head, 0))(b)
	measure(b, func() int64 {
		whole := must(decompress.NewReader(context.Background(), io.NewSectionReader(f, 0, size), image.MaxSize))(b)
		defer whole.Close()
		drain(b, must(raw.NewStream(whole, head, size))(b))
		return size
	})
}
