package qcow2

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

func open(t testing.TB, path string) *Disk {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Images that qemu-io wrote to in random order hold what qemu-img reads from them.
func TestWrittenImages(t *testing.T) {
	const size = 9<<20 + 3*512
	for i, options := range []string{
		"compat=0.10", "compat=1.1",
		"cluster_size=512", "cluster_size=4k", "cluster_size=2M", "compat=0.10,cluster_size=1k",
		"extended_l2=on", "extended_l2=on,cluster_size=16k", "extended_l2=on,cluster_size=2M",
		"preallocation=metadata", "preallocation=falloc", "preallocation=full",
		"lazy_refcounts=on", "refcount_bits=64", "refcount_bits=1",
		"preallocation=metadata,extended_l2=on,cluster_size=128k",
	} {
		t.Run(options, func(t *testing.T) {
			path := disktest.Image(t, "qcow2", options, size, 60, uint64(i))
			disktest.Conform(t, open(t, path), disktest.Raw(t, path, "qcow2"))
		})
	}
}

// Images that qemu-img converted, compressed or not, in order or not, hold what they were made from.
func TestConvertedImages(t *testing.T) {
	raw := disktest.RandomRaw(t, 3<<20+7*512, 1)
	want := disktest.Raw(t, raw, "raw")
	for _, compression := range []string{"zlib", "zstd"} {
		for _, cluster := range []string{"512", "1k", "4k", "64k", "2M"} {
			for _, more := range [][]string{nil, {"-c"}, {"-c", "-W", "-m", "8"}} {
				options := fmt.Sprintf("cluster_size=%s,compression_type=%s", cluster, compression)
				t.Run(fmt.Sprint(options, more), func(t *testing.T) {
					path := disktest.Convert(t, raw, "qcow2", "raw", append(more, "-o", options)...)
					disktest.Conform(t, open(t, path), want)
				})
			}
		}
	}
	for _, args := range [][]string{
		{"-c", "-o", "compat=0.10"},
		{"-c", "-o", "extended_l2=on,cluster_size=32k"},
		{"-c", "-o", "extended_l2=on,cluster_size=32k,compression_type=zstd"},
		{"-S", "0"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			path := disktest.Convert(t, raw, "qcow2", "raw", args...)
			disktest.Conform(t, open(t, path), want)
		})
	}
}

// What a machine does to an image after it was made: compressed clusters written over, zeros, discards, snapshots,
// resizing, in each kind of image.
func TestUsedImages(t *testing.T) {
	disktest.NeedTool(t, "qemu-img", "qemu-io")
	for _, options := range []string{
		"cluster_size=64k", "cluster_size=512", "compat=0.10,cluster_size=4k", "compression_type=zstd,cluster_size=4k",
		"extended_l2=on,cluster_size=64k", "extended_l2=on,cluster_size=16k,compression_type=zstd",
	} {
		t.Run(options, func(t *testing.T) {
			raw := disktest.RandomRaw(t, 3<<20, 7)
			path := disktest.Convert(t, raw, "qcow2", "raw", "-c", "-o", options)
			write(t, path, "write -P 1 100k 5k", "write -z 200k 300k", "write -P 2 260k 1k", "discard 600k 128k", "write -z -u 900k 64k")
			disktest.Run(t, "qemu-img", "snapshot", "-c", "one", path)
			write(t, path, "write -P 3 90k 40k", "write -P 5 2M 512", "discard 100k 1M")
			check(t, path)
			disktest.Run(t, "qemu-img", "snapshot", "-c", "two", path)
			if options != "compat=0.10,cluster_size=4k" {
				disktest.Run(t, "qemu-img", "resize", "-q", path, "6M")
				disktest.Run(t, "qemu-img", "bitmap", "--add", path, "changes")
				write(t, path, "write -P 6 5M 70k", "write -c -P 4 4M 64k")
				check(t, path)
			}
			disktest.Run(t, "qemu-img", "snapshot", "-d", "one", path)
			write(t, path, "write -P 7 512 1024", "write -P 8 1536k 200k")
			check(t, path)
		})
	}
}

func write(t *testing.T, path string, commands ...string) {
	t.Helper()
	args := []string{"-f", "qcow2", "-d", "unmap"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	disktest.Run(t, "qemu-io", append(args, path)...)
}

func check(t *testing.T, path string) {
	t.Helper()
	disktest.Conform(t, open(t, path), disktest.Raw(t, path, "qcow2"))
}

// A resize that needs another L1 table moves it to the file's end.
func TestGrownImage(t *testing.T) {
	path := disktest.Image(t, "qcow2", "cluster_size=512", 1<<20, 20, 3)
	disktest.Run(t, "qemu-img", "resize", "-q", path, "20M")
	write(t, path, "write -P 9 19M 100k")
	check(t, path)
	disktest.Run(t, "qemu-img", "resize", "-q", "--shrink", path, "19968k")
	check(t, path)
}

// Images that qemu-img makes and that reach for another file, or need a key, are refused as what they are.
func TestRefusedImages(t *testing.T) {
	disktest.NeedTool(t, "qemu-img", "qemu-io")
	dir := t.TempDir()
	base := disktest.RandomRaw(t, 1<<20, 2)
	for i, c := range []struct {
		code string
		args []string
	}{
		{"qcow2_backing_file", []string{"-b", base, "-F", "raw"}},
		{"qcow2_backing_file", []string{"-b", base, "-F", "raw", "-o", "compat=0.10"}},
		{"qcow2_data_file", []string{"-o", "data_file=" + filepath.Join(dir, "data")}},
		{"qcow2_data_file", []string{"-o", "data_file_raw=on,data_file=" + filepath.Join(dir, "data2")}},
		{"qcow2_encrypted", []string{"--object", "secret,id=k,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=k"}},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		disktest.Run(t, "qemu-img", append(append([]string{"create", "-q", "-f", "qcow2"}, c.args...), path, "1M")...)
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(bytes.NewReader(file), int64(len(file)))
		if r := refusal.As(err); r == nil || r.Code != c.code {
			t.Errorf("%v: %v, want %s", c.args, err, c.code)
		}
	}
}

// An image that lost its backing file by a rebase stands alone.
func TestRebasedImage(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	base := disktest.RandomRaw(t, 1<<20, 2)
	path := filepath.Join(t.TempDir(), "image")
	disktest.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path)
	disktest.Run(t, "qemu-img", "rebase", "-b", "", path)
	disktest.Conform(t, open(t, path), disktest.Raw(t, base, "raw"))
}

// Wherever a file is cut, the guest's bytes are either all there or refused.
func TestTruncatedImages(t *testing.T) {
	raw := disktest.RandomRaw(t, 1<<20, 5)
	for _, args := range [][]string{
		nil, {"-c"}, {"-c", "-o", "compression_type=zstd,cluster_size=512"}, {"-o", "extended_l2=on,cluster_size=16k"},
	} {
		file, err := os.ReadFile(disktest.Convert(t, raw, "qcow2", "raw", args...))
		if err != nil {
			t.Fatal(err)
		}
		want := disktest.Raw(t, raw, "raw")
		refusals := 0
		for n := 0; n < len(file); n += max(1, min(n/3, len(file)/40)) {
			for _, size := range []int64{int64(n), int64(len(file)), -1} {
				got, err := contents(bytes.NewReader(file[:n]), size)
				if err == nil && bytes.Equal(got, want) {
					continue
				}
				refusals++
				if r := refusal.As(err); r == nil || r.Code != "qcow2_truncated" && r.Code != "qcow2_compressed_cluster" {
					t.Fatalf("%v cut at %d of %d, size %d: %v", args, n, len(file), size, err)
				}
			}
		}
		if refusals < 60 {
			t.Errorf("%v: %d cuts were refused", args, refusals)
		}
	}
}
