// Package disktest is the conformance suite of disk.Disk, and makes images with qemu-img, the oracle, for it.
package disktest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Disk is disk.Disk, repeated here because a format's tests must not import the package that imports the format.
type Disk interface {
	io.ReaderAt
	Size() int64
	NextData(off int64) (start, end int64, err error)
}

// NeedTool skips the test where a tool is missing, and fails it in CI, where nothing may be skipped.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing; see scripts/tools.sh", name)
		}
		t.Skipf("%s is missing; scripts/tools.sh installs it", name)
	}
}

// Run runs a tool and returns its standard output.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// Image makes an image with qemu-img create and fills it by qemu-io: count random writes, in random order, of random
// whole sectors at sector boundaries, never two of the same place. It returns the file's path.
func Image(t testing.TB, format, options string, size int64, count int, seed uint64) string {
	t.Helper()
	NeedTool(t, "qemu-img", "qemu-io")
	path := filepath.Join(t.TempDir(), "image."+format)
	args := []string{"create", "-q", "-f", format}
	if options != "" {
		args = append(args, "-o", options)
	}
	Run(t, "qemu-img", append(args, path, fmt.Sprint(size))...)
	if count == 0 {
		return path
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	qio := []string{"-f", format}
	for range count {
		n := 512 * (1 + rng.Int64N(256))
		if n > size {
			n = 512
		}
		off := 512 * rng.Int64N((size-n)/512+1)
		qio = append(qio, "-c", fmt.Sprintf("write -q -P %d %d %d", 1+rng.IntN(255), off, n))
	}
	Run(t, "qemu-io", append(qio, path)...)
	return path
}

// RandomRaw makes a raw file with runs of random bytes, runs of text and holes, and returns its path.
func RandomRaw(t testing.TB, size int64, seed uint64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "random.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	for off := int64(0); off < size; {
		run := min(512*(1+rng.Int64N(1024)), size-off)
		buf := make([]byte, run)
		switch rng.IntN(3) {
		case 0:
			for i := range buf {
				buf[i] = byte(rng.Uint32())
			}
		case 1:
			copy(buf, bytes.Repeat([]byte(fmt.Sprintf("line %d\n", rng.IntN(1000))), int(run)/8))
		}
		if _, err := f.WriteAt(buf, off); err != nil {
			t.Fatal(err)
		}
		off += run
	}
	return path
}

// Convert runs qemu-img convert and returns the new file's path; extra arguments come before the file names.
func Convert(t testing.TB, from, to, format string, extra ...string) string {
	t.Helper()
	NeedTool(t, "qemu-img")
	path := filepath.Join(t.TempDir(), "converted."+to)
	args := append([]string{"convert", "-f", format, "-O", to}, extra...)
	Run(t, "qemu-img", append(args, from, path)...)
	return path
}

// Raw returns the guest's bytes of an image as qemu-img reads it.
func Raw(t testing.TB, path, format string) []byte {
	t.Helper()
	raw := path
	if format != "raw" {
		raw = Convert(t, path, "raw", format)
	}
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Conform checks that a disk keeps the promises of disk.Disk and holds exactly the guest bytes wanted.
func Conform(t testing.TB, d Disk, want []byte) {
	t.Helper()
	if d.Size() != int64(len(want)) {
		t.Fatalf("Size() = %d, want %d", d.Size(), len(want))
	}
	conformData(t, d, want)
	conformReads(t, d, want)
	conformEnd(t, d)
}

// conformData walks the map: ranges ascend, do not overlap, lie in the disk, and everything between them is zero.
func conformData(t testing.TB, d Disk, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("NextData(%d): %v", off, err)
		}
		if start < off || end <= start || end > d.Size() {
			t.Fatalf("NextData(%d) = [%d, %d) on a disk of %d", off, start, end, d.Size())
		}
		if n, err := d.ReadAt(got[start:end], start); int64(n) != end-start || (err != nil && err != io.EOF) {
			t.Fatalf("ReadAt(%d bytes at %d) = %d, %v", end-start, start, n, err)
		}
		if mid := start + (end-start)/2; mid > start {
			if s, e, err := d.NextData(mid); err != nil || s != mid || e <= mid {
				t.Fatalf("NextData(%d) inside [%d, %d) = [%d, %d), %v", mid, start, end, s, e, err)
			}
		}
		off = end
	}
	if i := firstDifference(got, want); i >= 0 {
		t.Fatalf("the mapped data differs from the oracle first at guest byte %d", i)
	}
}

// conformReads reads at random offsets and lengths, across holes and ends of clusters, by several goroutines at once.
func conformReads(t testing.TB, d Disk, want []byte) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			buf := make([]byte, 1<<20)
			for range 50 {
				off := rng.Int64N(int64(len(want)) + 1)
				b := buf[:rng.IntN(1<<(1+rng.IntN(20)))]
				n, err := d.ReadAt(b, off)
				expect := min(int64(len(b)), int64(len(want))-off)
				if int64(n) != expect || (err != nil && err != io.EOF) || (err == nil && n < len(b)) {
					t.Errorf("ReadAt(%d bytes at %d) = %d, %v; want %d bytes", len(b), off, n, err, expect)
					return
				}
				if i := firstDifference(b[:n], want[off:off+int64(n)]); i >= 0 {
					t.Errorf("ReadAt(%d bytes at %d) differs at guest byte %d", len(b), off, off+int64(i))
					return
				}
			}
		}()
	}
	wg.Wait()
}

func conformEnd(t testing.TB, d Disk) {
	t.Helper()
	if _, _, err := d.NextData(d.Size()); !errors.Is(err, io.EOF) {
		t.Errorf("NextData at the end: %v, want io.EOF", err)
	}
	if n, err := d.ReadAt(make([]byte, 1), d.Size()); n != 0 || err != io.EOF {
		t.Errorf("ReadAt at the end = %d, %v; want 0, io.EOF", n, err)
	}
	if _, err := d.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt before the start succeeded")
	}
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Drain reads a whole disk by its map, as an import does, and returns the number of bytes read. A fuzz target uses it:
// any error is fine, a panic or a range outside the disk is not.
func Drain(t testing.TB, d Disk, limit int64) int64 {
	t.Helper()
	buf := make([]byte, 64<<10)
	var total int64
	for off := int64(0); total < limit; {
		start, end, err := d.NextData(off)
		if err != nil {
			return total
		}
		if start < off || end <= start || end > d.Size() {
			t.Fatalf("NextData(%d) = [%d, %d) on a disk of %d", off, start, end, d.Size())
		}
		for at := start; at < end && total < limit; {
			b := buf[:min(int64(len(buf)), end-at)]
			n, err := d.ReadAt(b, at)
			if n < len(b) && err == nil {
				t.Fatalf("ReadAt(%d bytes at %d) = %d without an error", len(b), at, n)
			}
			if err != nil && (err != io.EOF || n < len(b)) {
				return total
			}
			at += int64(n)
			total += int64(n)
		}
		off = end
	}
	return total
}
