package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

func open(t testing.TB, file []byte, size int64) *Disk {
	t.Helper()
	d, err := Open(bytes.NewReader(file), size, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// conform runs the suite with the file's size unknown, after a read in the middle, and compares the whole with it known.
func conform(t *testing.T, file, want []byte) {
	t.Helper()
	if err := drain(file, int64(len(file)), want); err != nil {
		t.Error(err)
	}
	d := open(t, file, -1)
	if _, err := d.ReadAt(make([]byte, min(4096, len(want))), int64(len(want))/2); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	disktest.Conform(t, d, want)
}

func TestOracle(t *testing.T) {
	for _, tc := range []struct {
		options string
		size    int64
		writes  int
	}{
		{"subformat=monolithicSparse", 1 << 20, 0},
		{"subformat=monolithicSparse", 512, 1},
		{"subformat=monolithicSparse", 40<<20 + 1536, 60},
		{"subformat=monolithicSparse,zeroed_grain=on", 20 << 20, 40},
		{"subformat=monolithicSparse,compat6=on,adapter_type=lsilogic", 33 << 20, 10},
	} {
		t.Run(fmt.Sprintf("%s %d", tc.options, tc.size), func(t *testing.T) {
			path := disktest.Image(t, "vmdk", tc.options, tc.size, tc.writes, uint64(tc.size))
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			conform(t, file, disktest.Raw(t, path, "vmdk"))
		})
	}
}

func TestOracleZeroedGrains(t *testing.T) {
	path := disktest.Image(t, "vmdk", "zeroed_grain=on", 8<<20, 30, 1)
	disktest.Run(t, "qemu-io", "-f", "vmdk", "-c", "write -q -P 7 0 8M", "-c", "write -q -z 1M 2M", path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, file, -1)
	start, end, err := d.NextData(1 << 20)
	if err != nil || start != 3<<20 || end != 8<<20 {
		t.Errorf("NextData(1 MiB) = [%d, %d), %v; want the zeroed grains to be a hole up to 3 MiB", start, end, err)
	}
	conform(t, file, disktest.Raw(t, path, "vmdk"))
}

func TestOracleStream(t *testing.T) {
	for _, size := range []int64{512, 64 << 10, 5<<20 + 512, 34<<20 + 65024} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			raw := disktest.RandomRaw(t, size, uint64(size))
			path := disktest.Convert(t, raw, "vmdk", "raw", "-o", "subformat=streamOptimized")
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			conform(t, file, disktest.Raw(t, raw, "raw"))
		})
	}
}

// guest makes guest bytes without qemu: grains of noise, of text and of zeros.
func guest(size int64, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 9))
	b := make([]byte, size)
	for off := int64(0); off < size; {
		run := b[off:min(size, off+1+rng.Int64N(300<<10))]
		off += int64(len(run))
		switch rng.IntN(3) {
		case 0:
			for i := range run {
				run[i] = byte(rng.Uint32())
			}
		case 1:
			copy(run, bytes.Repeat([]byte("a line of text\n"), len(run)/15))
		}
	}
	return b
}

// swapped is n grains in order but for pairs that changed places.
func swapped(n int64) []int64 {
	var order []int64
	for g := int64(0); g < n; g += 2 {
		order = append(order, g+1, g)
	}
	return order
}

func reversed(n int64) []int64 {
	var order []int64
	for g := range n {
		order = append(order, n-1-g)
	}
	return order
}

// TestStreamWithFooter reads streams as VMware writes them, which qemu-img does not make; that qemu-img reads the same
// from them says that the generator is right.
func TestStreamWithFooter(t *testing.T) {
	want := guest(6<<20+1024, 3)
	for name, o := range map[string]options{
		"VMware":              {},
		"cut last grain":      {cutLast: true},
		"capacity rounded up": {capacity: int64(len(want)+65535) / 65536 * 128, descriptor: strings.Replace(streamDescriptor, "%d", fmt.Sprint(len(want)/512), 1)},
		"progress markers":    {progress: true},
		"redundant directory": {redundant: true},
		"small grains":        {grain: 8},
		"swapped grains":      {order: swapped(98)},
		"reversed":            {order: reversed(98)},
	} {
		t.Run(name, func(t *testing.T) {
			m := makeStream(want, o)
			guest := append(bytes.Clone(want), make([]byte, max(0, int(o.capacity)*512-len(want)))...)
			conform(t, m.file, guest)
			path := filepath.Join(t.TempDir(), "s.vmdk")
			if err := os.WriteFile(path, m.file, 0o600); err != nil {
				t.Fatal(err)
			}
			// qemu-img cannot read past a last grain that is cut.
			if !o.cutLast && !bytes.Equal(disktest.Raw(t, path, "vmdk"), guest) {
				t.Error("qemu-img reads something else from the generated file")
			}
		})
	}
}

func TestSparseMadeInCode(t *testing.T) {
	want := guest(9<<20+512, 4)
	for _, grain := range []int64{8, 16, 128} {
		conform(t, makeSparse(want, options{grain: grain}).file, want)
	}
}

// recorder notes how far a file was read.
type recorder struct {
	io.ReaderAt
	mu  sync.Mutex
	far int64
}

func (r *recorder) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	r.far = max(r.far, off+int64(len(p)))
	r.mu.Unlock()
	return r.ReaderAt.ReadAt(p, off)
}

// TestStreamIsReadForward is what lets a conversion overlap with the download: a range is known and read before more
// of the file than its grains and the next marker has arrived.
func TestStreamIsReadForward(t *testing.T) {
	want := guest(40<<20, 5)
	m := makeStream(want, options{})
	r := &recorder{ReaderAt: bytes.NewReader(m.file)}
	d, err := Open(r, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.far > 128*512 {
		t.Errorf("Open read up to byte %d", r.far)
	}
	places := slices.Sorted(maps.Values(m.grains))
	probed, ranges := places[probeGrains-1], 0
	for off := int64(0); ; ranges++ {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if end-start > runBytes {
			t.Errorf("NextData(%d) = [%d, %d), more than %d bytes", off, start, end, runBytes)
		}
		got := make([]byte, end-start)
		if _, err := d.ReadAt(got, start); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want[start:end]) {
			t.Fatalf("[%d, %d) differs", start, end)
		}
		last := max(m.grains[(end-1)>>16], probed)
		if limit := last + 64<<10 + 8*512; r.far > limit {
			t.Fatalf("read up to byte %d for guest bytes up to %d, whose last grain is at %d", r.far, end, last)
		}
		off = end
	}
	if ranges < 10 {
		t.Errorf("only %d ranges", ranges)
	}
}

// onceFile fails where a byte is read after it was given back.
type onceFile struct {
	t    *testing.T
	file []byte
	mu   sync.Mutex
	gone []bool
	sum  int64
}

func (f *onceFile) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(p, f.file[min(off, int64(len(f.file))):])
	if slices.Contains(f.gone[off:off+int64(n)], true) {
		f.t.Errorf("read %d bytes at %d, some of which were given back", n, off)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *onceFile) Release(off, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := off; i < off+n; i++ {
		if f.gone[i] {
			f.t.Fatalf("byte %d given back twice", i)
		}
		f.gone[i] = true
	}
	f.sum += n
}

func TestReadOnce(t *testing.T) {
	want := guest(12<<20+512, 6)
	for name, m := range map[string]*made{
		"stream":           makeStream(want, options{}),
		"unordered stream": makeStream(want, options{order: reversed(193)}),
		"sparse":           makeSparse(want, options{}),
	} {
		t.Run(name, func(t *testing.T) {
			f := &onceFile{t: t, file: m.file, gone: make([]bool, len(m.file))}
			d, err := Open(f, -1, nil)
			if err != nil {
				t.Fatal(err)
			}
			d.ReadOnce()
			readInPieces(t, d, want, 100_000)
			if meta := int64(len(m.file)) - f.sum; meta > 400<<10 {
				t.Errorf("%d of %d bytes were never given back", meta, len(m.file))
			}
		})
	}
}

// readInPieces walks the map and reads each range by two goroutines, in pieces that do not match grains.
func readInPieces(t *testing.T, d *Disk, want []byte, piece int64) {
	t.Helper()
	type span struct{ from, to int64 }
	work := make(chan span, 8)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for s := range work {
				b := make([]byte, s.to-s.from)
				if _, err := d.ReadAt(b, s.from); err != nil && err != io.EOF {
					t.Error(err)
				} else if !bytes.Equal(b, want[s.from:s.to]) {
					t.Errorf("[%d, %d) differs", s.from, s.to)
				}
			}
		})
	}
	defer wg.Wait()
	defer close(work)
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for at := start; at < end; at += piece {
			work <- span{at, min(at+piece, end)}
		}
		off = end
	}
}

// drain reads all of a file as an import does and returns the error that ended it, nil at the end of the disk.
func drain(file []byte, size int64, want []byte) error {
	d, err := Open(bytes.NewReader(file), size, nil)
	if err != nil {
		return err
	}
	got := make([]byte, d.Size())
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if _, err := d.ReadAt(got[start:end], start); err != nil && err != io.EOF {
			return err
		}
		off = end
	}
	if want != nil && !bytes.Equal(got, want) {
		return errors.New("the guest's bytes differ")
	}
	return nil
}

// TestTruncated cuts files at many places: each must be refused, or lack nothing.
func TestTruncated(t *testing.T) {
	want := guest(6<<20, 7)
	stream, sparse := makeStream(want, options{}).file, makeSparse(want, options{}).file
	rng := rand.New(rand.NewPCG(1, 1))
	for name, file := range map[string][]byte{"stream": stream, "sparse": sparse} {
		cuts := []int{0, 1, 4, 100, 511, 512, 600, 11000, len(file) - 1, len(file) - 512, len(file) - 513, len(file) - 1024}
		for range 60 {
			cuts = append(cuts, rng.IntN(len(file)))
		}
		for _, n := range cuts {
			for _, size := range []int64{int64(n), -1} {
				if err := drain(file[:n], size, want); refusal.As(err) == nil || refusal.As(err).Code != "vmdk_truncated" {
					t.Errorf("%s cut to %d of %d bytes, size %d: %v", name, n, len(file), size, err)
				}
			}
		}
	}
}

// TestOldQemuPadding: qemu-img before 2.5 left the last grain of a stream short of a sector.
func TestOldQemuPadding(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	raw := filepath.Join(t.TempDir(), "raw")
	want := bytes.Repeat([]byte("some text "), 30000)
	want = want[:len(want)/512*512]
	if err := os.WriteFile(raw, want, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(disktest.Convert(t, raw, "vmdk", "raw", "-o", "subformat=streamOptimized"))
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.TrimRight(file, "\x00")
	if len(file)%512 == 0 {
		t.Fatal("the file still ends at a sector")
	}
	conform(t, file, want)
	if err := drain(file[:len(file)-1], -1, nil); refusal.As(err) == nil {
		t.Errorf("cut by one byte more: %v", err)
	}
}

type failing struct{ io.ReaderAt }

var errSource = errors.New("the source is gone")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 100<<10 {
		return 0, errSource
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestReaderErrorIsPassedOn(t *testing.T) {
	want := guest(6<<20, 8)
	for name, file := range map[string][]byte{"stream": makeStream(want, options{}).file, "sparse": makeSparse(want, options{}).file} {
		d, err := Open(failing{bytes.NewReader(file)}, -1, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err = d.ReadAt(make([]byte, 1<<20), 2<<20); !errors.Is(err, errSource) || refusal.As(err) != nil {
			t.Errorf("%s: ReadAt: %v", name, err)
		}
	}
}
