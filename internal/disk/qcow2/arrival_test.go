package qcow2

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

// arriving is a file that arrives only as far as somebody waits for it, and so knows how far anybody has waited.
type arriving struct {
	file []byte
	have atomic.Int64
}

func (a *arriving) ReadAt(p []byte, off int64) (int, error) {
	for end := min(off+int64(len(p)), int64(len(a.file))); ; {
		old := a.have.Load()
		if end <= old || a.have.CompareAndSwap(old, end) {
			break
		}
	}
	return bytes.NewReader(a.file).ReadAt(p, off)
}

// NextData waits for the first byte of a range and not for its last, nor for tables behind it; and reading what it
// returns waits for no more than that.
func TestNextDataDoesNotRunAhead(t *testing.T) {
	for _, s := range []setting{
		{version: 3, clusterBits: 21, size: 100 << 20},
		{version: 3, clusterBits: 16, size: 100 << 20},
		{version: 3, clusterBits: 9, size: 20 << 20},
	} {
		b := newBuild(s)
		for i := range int(min(s.size, 50<<20)) >> s.clusterBits {
			b.plain(i, byte(i))
		}
		for _, size := range []int64{-1, int64(len(b.file))} {
			a := &arriving{file: b.file}
			d, err := Open(a, size)
			if err != nil {
				t.Fatal(err)
			}
			for off := int64(0); ; {
				start, end, err := d.NextData(off)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				x, err := d.extent(start, end)
				if err != nil {
					t.Fatal(err)
				}
				if have := a.have.Load(); have > x.host+1 {
					t.Fatalf("clusters of %d: NextData returned [%d, %d), from byte %d, after waiting for %d", b.cluster(), start, end, x.host, have)
				}
				if _, err := d.ReadAt(make([]byte, end-start), start); err != nil {
					t.Fatal(err)
				}
				off = end
			}
		}
	}
}

// A file that has arrived gives long ranges, even where L2 tables are small.
func TestRangesAreLong(t *testing.T) {
	b := newBuild(setting{version: 3, clusterBits: 9, size: 4 << 20})
	for i := range 4 << 20 >> 9 {
		b.plain(i, byte(i))
	}
	d, err := Open(bytes.NewReader(b.file), int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadAt(make([]byte, 512), 4<<20-512); err != nil {
		t.Fatal(err)
	}
	if start, end, err := d.NextData(0); start != 0 || end != 4<<20 || err != nil {
		t.Errorf("NextData(0) = [%d, %d), %v; want the whole disk", start, end, err)
	}
}

var errFlaky = errors.New("the wire broke")

// flaky fails each read whose number, from 1, fails says.
type flaky struct {
	io.ReaderAt
	n     int
	fails func(n int) bool
}

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	if f.n++; f.fails(f.n) {
		return 0, errFlaky
	}
	return f.ReaderAt.ReadAt(p, off)
}

func passed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, errFlaky) || refusal.As(err) != nil {
		t.Fatalf("%v, want the reader's error", err)
	}
}

// An error of the reader is passed on and is no refusal.
func TestOpenPassesErrors(t *testing.T) {
	b := sample(settings["v3"])
	for failing := 1; ; failing++ {
		f := &flaky{bytes.NewReader(b.file), 0, func(n int) bool { return n == failing }}
		_, err := Open(f, int64(len(b.file)))
		if f.n < failing && err == nil && failing > 4 {
			return
		}
		passed(t, err)
	}
}

// It leaves the disk fit for another try.
func TestErrorsLeaveTheDiskWhole(t *testing.T) {
	for name, s := range settings {
		b := sample(s)
		want, err := contents(bytes.NewReader(b.file), -1)
		if err != nil {
			t.Fatal(err)
		}
		f := &flaky{bytes.NewReader(b.file), 0, func(int) bool { return false }}
		d, err := Open(f, int64(len(b.file)))
		if err != nil {
			t.Fatal(err)
		}
		f.fails = func(n int) bool { return n%2 == 0 }
		got := make([]byte, len(want))
		failures := 0
		for off := int64(0); ; {
			start, end, err := d.NextData(off)
			if err == io.EOF {
				break
			}
			if err == nil {
				var n int
				n, err = d.ReadAt(got[start:end], start)
				off = start + int64(n)
			}
			if err != nil {
				passed(t, err)
				failures++
			}
		}
		if failures < 3 || !bytes.Equal(got, want) {
			t.Errorf("%s: %d failures, same bytes %t", name, failures, bytes.Equal(got, want))
		}
	}
}

// once is a file whose released bytes cannot be read again.
type once struct {
	file     []byte
	released []bool
	t        *testing.T
}

func (o *once) ReadAt(p []byte, off int64) (int, error) {
	for i := off; i < min(off+int64(len(p)), int64(len(o.file))); i++ {
		if o.released[i] {
			o.t.Fatalf("%d bytes at %d are read after byte %d was released", len(p), off, i)
		}
	}
	return bytes.NewReader(o.file).ReadAt(p, off)
}

func (o *once) Release(off, n int64) {
	for i := off; i < off+n; i++ {
		o.released[i] = true
	}
}

func TestReadOnce(t *testing.T) {
	raw := disktest.RandomRaw(t, 6<<20, 4)
	want := disktest.Raw(t, raw, "raw")
	for _, c := range []struct {
		args  []string
		least float64 // of the file
	}{
		{[]string{"-o", "cluster_size=64k"}, 0.9},
		{[]string{"-o", "extended_l2=on,cluster_size=16k"}, 0.9},
		{[]string{"-c", "-W", "-m", "8"}, 0.6},
		{[]string{"-c", "-o", "cluster_size=4k,compression_type=zstd"}, 0.97},
		{[]string{"-c", "-W", "-o", "cluster_size=512"}, 0.5},
		{[]string{"-c", "-o", "cluster_size=4k"}, 0.97},
		{[]string{"-c", "-o", "cluster_size=2M"}, 0.099}, // five clusters are metadata

		{[]string{"-c", "-W", "-m", "8", "-o", "cluster_size=2M,compression_type=zstd"}, 0.098},
	} {
		file, err := os.ReadFile(disktest.Convert(t, raw, "qcow2", "raw", c.args...))
		if err != nil {
			t.Fatal(err)
		}
		o := &once{file: file, released: make([]bool, len(file)), t: t}
		d, err := Open(o, int64(len(file)))
		if err != nil {
			t.Fatal(err)
		}
		d.ReadOnce()
		got := make([]byte, len(want))
		for off := int64(0); ; {
			start, end, err := d.NextData(off)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for ; start < end; start += 256 << 10 {
				part := got[start:min(end, start+256<<10)]
				if _, err := d.ReadAt(part, start); err != nil {
					t.Fatal(err)
				}
			}
			off = end
		}
		released := 0
		for _, r := range o.released {
			if r {
				released++
			}
		}
		if !bytes.Equal(got, want) || float64(released) < c.least*float64(len(file)) {
			t.Errorf("%v: same bytes %t, %d of %d released", c.args, bytes.Equal(got, want), released, len(file))
		}
	}
}

// Readers that share a compressed cluster inflate it once between them, and give its stream back when all have read.
func TestReadersShareACluster(t *testing.T) {
	b := newBuild(setting{version: 3, clusterBits: 21, size: 20 << 20})
	for i := range 10 {
		b.stream(i, b.compress(b.clusterOf(byte(i))))
	}
	end := int64(len(b.file))
	b.alloc(0)
	f := &counted{file: b.file}
	d, err := Open(f, int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	d.ReadOnce()
	table := int64(l1At+1) << b.clusterBits
	const piece = 512 << 10
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for at := int64(i * piece); at < d.Size(); at += 4 * piece {
				p := make([]byte, piece)
				if _, err := d.ReadAt(p, at); err != nil || !bytes.Equal(p, b.clusterOf(byte(at >> 21))[at&(1<<21-1):][:piece]) {
					t.Errorf("guest byte %d: %v, or other bytes", at, err)
				}
			}
		})
	}
	wg.Wait()
	if got := f.given.Load(); got < end-table-1<<b.clusterBits-2*sectorSize {
		t.Errorf("%d bytes were released of streams of %d", got, end-table-1<<b.clusterBits)
	}
	if len(d.parts.held) > 0 || len(d.parts.read) > 0 {
		t.Errorf("%d clusters are held, %d counted", len(d.parts.held), len(d.parts.read))
	}
}

// counted is a file that counts what is given back.
type counted struct {
	file  []byte
	given atomic.Int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(c.file).ReadAt(p, off)
}

func (c *counted) Release(_, n int64) { c.given.Add(n) }

// Who waits for a cluster that another inflates is not left alone when that one fails, or panics.
func TestSharedFailures(t *testing.T) {
	d, err := Open(bytes.NewReader(twoMegs().file), -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadAt(make([]byte, 1), 4<<20); err != nil { // the L2 table
		t.Fatal(err)
	}
	reading, fail := make(chan struct{}), make(chan struct{})
	d.src.r = readerAt(func([]byte, int64) (int, error) {
		close(reading)
		<-fail
		panic("reading")
	})
	go func() {
		defer func() { recover() }()
		d.ReadAt(make([]byte, 1), 0)
	}()
	<-reading
	failed := make(chan error)
	go func() {
		_, err := d.ReadAt(make([]byte, 1), 1)
		failed <- err
	}()
	for shared := false; !shared; runtime.Gosched() {
		d.parts.mu.Lock()
		shared = d.parts.held[0].readers == 2
		d.parts.mu.Unlock()
	}
	close(fail)
	if err := <-failed; err != errNotInflated {
		t.Errorf("%v, want %v", err, errNotInflated)
	}
}

type readerAt func(p []byte, off int64) (int, error)

func (f readerAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// twoMegs is a disk of compressed clusters of 2 MiB, its first three.
func twoMegs() *build {
	b := newBuild(setting{version: 3, clusterBits: 21, size: 20 << 20})
	for i := range 3 {
		b.stream(i, b.compress(b.clusterOf(byte(i))))
	}
	b.alloc(0)
	return b
}

// Sizes that the file only claims to have cost nothing, even if the file's own size is not known, or is a lie.
func TestNothingIsMadeForWhatIsNotThere(t *testing.T) {
	b := newBuild(setting{version: 3, clusterBits: 9, size: 1 << 20})
	b.u64(24, 100e9)
	b.u32(36, 32<<20/8)
	for _, size := range []int64{-1, 1 << 40} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Open(bytes.NewReader(b.file), size)
		runtime.ReadMemStats(&after)
		if r := refusal.As(err); r == nil || r.Code != "qcow2_truncated" {
			t.Errorf("size %d: %v, want qcow2_truncated", size, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("size %d: %d bytes were allocated", size, n)
		}
	}
}

// A walk that begins in the middle has checked what lies before, and a refusal stays.
func TestWalkFromTheMiddle(t *testing.T) {
	b := sample(settings["v3"])
	copied(8, 3)(b)
	d, err := Open(bytes.NewReader(b.file), int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	if start, end, err := d.NextData(2*4096 + 5); start != 2*4096+5 || end != 4*4096 || err != nil {
		t.Errorf("before the duplicate: [%d, %d), %v", start, end, err)
	}
	for _, off := range []int64{100 << 12, d.Size(), 0} {
		_, _, err := d.NextData(off)
		if r := refusal.As(err); r == nil || r.Code != "qcow2_cluster_twice" {
			t.Errorf("NextData(%d): %v, want qcow2_cluster_twice", off, err)
		}
	}
}

// reads notes each read's length.
type reads struct {
	io.ReaderAt
	lengths []int
}

func (r *reads) ReadAt(p []byte, off int64) (int, error) {
	r.lengths = append(r.lengths, len(p))
	return r.ReaderAt.ReadAt(p, off)
}

// What lies together in the file is read at once, and small reads of a compressed cluster inflate it once.
func TestReadsAreFew(t *testing.T) {
	b := newBuild(setting{version: 3, clusterBits: 12, size: 1 << 20})
	for i := range 20 {
		b.plain(i, byte(i))
	}
	total := 0
	for i := 20; i < 40; i++ {
		stream := b.compress(b.clusterOf(byte(i)))
		total += len(stream)
		b.stream(i, stream)
	}
	b.alloc(0)
	r := &reads{ReaderAt: bytes.NewReader(b.file)}
	d, err := Open(r, int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 40<<12)
	if _, err := d.ReadAt(p[:1], 0); err != nil { // the L2 table
		t.Fatal(err)
	}
	r.lengths = nil
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	if want := []int{20 << 12, (total + sectorSize - 1) &^ (sectorSize - 1)}; !slices.Equal(r.lengths, want) {
		t.Errorf("reads of %d bytes, want %d", r.lengths, want)
	}
	r.lengths = nil
	for off := int64(20 << 12); off < 21<<12; off += 100 {
		if _, err := d.ReadAt(p[:100], off); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.lengths) != 2 {
		t.Errorf("%d reads for small ones of two clusters", len(r.lengths))
	}
}
