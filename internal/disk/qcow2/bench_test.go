package qcow2

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"ingot/internal/disk/disktest"
)

// BenchmarkRead reads images as an import does: NextData in order, and ReadAt of 2 MiB from as many goroutines as there
// are processors. The guest's disk is this machine's Go tree, or the file INGOT_BENCH_RAW names; MB/s are of guest data.
func BenchmarkRead(b *testing.B) {
	raw := os.Getenv("INGOT_BENCH_RAW")
	if raw == "" {
		raw = archive(b, strings.TrimSpace(disktest.Run(b, "go", "env", "GOROOT")), 200<<20)
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"zlib", []string{"-c", "-o", "compression_type=zlib"}},
		{"zstd", []string{"-c", "-o", "compression_type=zstd"}},
		{"zstd-2M", []string{"-c", "-o", "compression_type=zstd,cluster_size=2M"}},
		{"plain-4k", []string{"-o", "cluster_size=4k"}},
		{"plain-512", []string{"-o", "cluster_size=512"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			path := disktest.Convert(b, raw, "qcow2", "raw", append(c.args, "-W", "-m", "8")...)
			b.ReportAllocs()
			for b.Loop() {
				b.SetBytes(imported(b, open(b, path)))
			}
		})
	}
}

func imported(b *testing.B, d *Disk) (total int64) {
	const piece = 2 << 20
	n := runtime.GOMAXPROCS(0)
	free := make(chan []byte, n)
	for range n {
		free <- make([]byte, piece)
	}
	var g errgroup.Group
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		for at := start; at < end; at += piece {
			p := <-free
			g.Go(func() error {
				defer func() { free <- p }()
				_, err := d.ReadAt(p[:min(piece, end-at)], at)
				return err
			})
		}
		total += end - start
		off = end
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return total
}

// archive strings the files of a tree together, up to size bytes: a mixture of text, tables and machine code.
func archive(b *testing.B, root string, size int64) string {
	out, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || size <= 0 {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		n, err := io.Copy(out, io.LimitReader(in, size))
		size -= n
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return out.Name()
}
