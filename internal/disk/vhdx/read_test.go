package vhdx

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/disk/disktest"
)

// watched notes each read, and what is released.
type watched struct {
	io.ReaderAt
	mu              sync.Mutex
	reads, released []span
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	w.reads = append(w.reads, span{off, off + int64(len(p))})
	w.mu.Unlock()
	return w.ReaderAt.ReadAt(p, off)
}

func (w *watched) Release(off, n int64) {
	w.mu.Lock()
	w.released = append(w.released, span{off, off + n})
	w.mu.Unlock()
}

// reads returns what of the file a ReadAt of the guest's bytes reads, once the table is known.
func reads(t *testing.T, w *watched, d *Disk, off, n int64) []span {
	t.Helper()
	p := make([]byte, n)
	if _, err := d.ReadAt(p, off); err != nil {
		t.Fatal(err)
	}
	w.reads = nil
	if _, err := d.ReadAt(p, off); err != nil {
		t.Fatal(err)
	}
	return w.reads
}

// TestOneReadPerRun: blocks that follow each other in guest and file are one read, holes none.
func TestOneReadPerRun(t *testing.T) {
	w := &watched{ReaderAt: build(disk{size: 16 * mib, present: []int{1, 2, 3, 9, 10, 5}})}
	d, err := Open(w, -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		off, n int64
		want   []span
	}{
		{mib, 3 * mib, []span{{dataAt, dataAt + 3*mib}}},
		{mib + 5, mib, []span{{dataAt + 5, dataAt + mib + 5}}},
		{2*mib + 100, 3*mib - 100, []span{{dataAt + mib + 100, dataAt + 3*mib}}},
		{0, mib, nil},
		{6 * mib, 3 * mib, nil},
		{0, 16 * mib, []span{{dataAt, dataAt + 3*mib}, {dataAt + 5*mib, dataAt + 6*mib}, {dataAt + 3*mib, dataAt + 5*mib}}},
	} {
		got := reads(t, w, d, tc.off, tc.n)
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("ReadAt(%d bytes at %d) reads (-want +got):\n%s", tc.n, tc.off, diff)
		}
	}
}

// TestRelease: what was read is given back once, and only if that was asked for and the read succeeded; also where
// the file is read through a log.
func TestRelease(t *testing.T) {
	plain := build(disk{size: 16 * mib, present: []int{1, 2, 5}})
	dirty := build(disk{size: 16 * mib, present: []int{1, 2, 5}}).logged(logEntry{sequence: 1})
	want := []span{{dataAt + 100, dataAt + 2*mib}, {dataAt + 2*mib, dataAt + 3*mib}}
	for name, f := range map[string]*sparse{"plain": plain, "dirty": dirty} {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprint(name, once), func(t *testing.T) {
				w := &watched{ReaderAt: f}
				d, err := Open(w, f.size)
				if err != nil {
					t.Fatal(err)
				}
				if once {
					d.ReadOnce()
				}
				if _, err := d.ReadAt(make([]byte, 10*mib), mib+100); err != nil {
					t.Fatal(err)
				}
				expect := want
				if !once {
					expect = nil
				}
				if diff := cmp.Diff(expect, w.released, cmp.AllowUnexported(span{})); diff != "" {
					t.Errorf("released (-want +got):\n%s", diff)
				}
			})
		}
	}
	t.Run("failed", func(t *testing.T) {
		w := &watched{ReaderAt: failing{plain, dataAt + 2*mib, errors.New("reset")}}
		d, err := Open(w, plain.size)
		if err != nil {
			t.Fatal(err)
		}
		d.ReadOnce()
		n, err := d.ReadAt(make([]byte, 10*mib), mib+100)
		if err == nil || n != 4*mib-100 {
			t.Errorf("ReadAt = %d, %v", n, err)
		}
		if diff := cmp.Diff(want[:1], w.released, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("released (-want +got):\n%s", diff)
		}
	})
	t.Run("a reader that cannot", func(t *testing.T) {
		d, err := Open(plain, plain.size)
		if err != nil {
			t.Fatal(err)
		}
		d.ReadOnce()
		if _, err := d.ReadAt(make([]byte, 10*mib), 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWaitsForNothing: with a file that is still arriving, the map is known as soon as the table has arrived.
func TestWaitsForNothing(t *testing.T) {
	f := build(disk{size: 12 * gib, present: []int{0, 1, 5000, 12000}})
	arrived := int64(batAt + (12*1024+2)*8)
	d, err := Open(failing{f, arrived, errors.New("read what has not arrived")}, -1)
	if err != nil {
		t.Fatal(err)
	}
	var got []span
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, span{start, end})
		off = end
	}
	want := []span{{0, 2 * mib}, {5000 * mib, 5001 * mib}, {12000 * mib, 12001 * mib}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
		t.Errorf("the map (-want +got):\n%s", diff)
	}
}

// TestRanges: adjacent blocks are one range, wherever they stand, but none of more than about a GiB.
func TestRanges(t *testing.T) {
	d := disk{size: 5 * gib, bat: mib}
	for i := range 2500 {
		d.present = append(d.present, i)
	}
	rng := rand.New(rand.NewPCG(1, 7))
	rng.Shuffle(len(d.present), func(a, b int) { d.present[a], d.present[b] = d.present[b], d.present[a] })
	f := build(d)
	got, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ off, start, end int64 }{
		{0, 0, gib}, {gib, gib, 2 * gib}, {2 * gib, 2 * gib, 2500 * mib}, {17, 17, gib + mib}, {2500*mib - 1, 2500*mib - 1, 2500 * mib},
	} {
		if start, end, err := got.NextData(tc.off); start != tc.start || end != tc.end || err != nil {
			t.Errorf("NextData(%d) = %d, %d, %v; want %d, %d", tc.off, start, end, err, tc.start, tc.end)
		}
	}
	for _, off := range []int64{2500 * mib, 5 * gib, 6 * gib} {
		if _, _, err := got.NextData(off); err != io.EOF {
			t.Errorf("NextData(%d): %v, want io.EOF", off, err)
		}
	}
	if _, _, err := got.NextData(-1); err == nil || err == io.EOF {
		t.Errorf("NextData(-1): %v", err)
	}
}

// TestFirstReads: many come at once to a page that nobody has read. If two of them checked it, the second would find
// every place taken.
func TestFirstReads(t *testing.T) {
	f := build(disk{present: []int{0, 7}})
	for range 10 {
		d, err := Open(slow{f}, f.size)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := d.ReadAt(make([]byte, 512), 7*mib); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// slow gives others the time to come.
type slow struct{ io.ReaderAt }

func (r slow) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Millisecond)
	return r.ReaderAt.ReadAt(p, off)
}

// TestShortReads: a reader may return what it has together with io.EOF.
func TestShortReads(t *testing.T) {
	f := build(disk{present: []int{0, 7}})
	want := make([]byte, 8*mib)
	copyBlock := func(block int) {
		for at := int64(0); at < mib; at += 256 * kib {
			copy(want[int64(block)*mib+at:], pattern(block, at))
		}
	}
	copyBlock(0)
	copyBlock(7)
	d, err := Open(endsWithEOF{f}, -1)
	if err != nil {
		t.Fatal(err)
	}
	disktest.Conform(t, d, want)
}

type endsWithEOF struct{ *sparse }

func (r endsWithEOF) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.sparse.ReadAt(p, off)
	if err == nil && off+int64(n) == r.size {
		err = io.EOF
	}
	return n, err
}

func BenchmarkReadAt(b *testing.B) {
	d := disk{size: 64 * mib, block: 2 * mib}
	for i := range 32 {
		d.present = append(d.present, i^1)
	}
	f := build(d)
	file := make([]byte, f.size)
	f.ReadAt(file, 0)
	got, err := Open(bytesAt(file), f.size)
	if err != nil {
		b.Fatal(err)
	}
	p := make([]byte, mib)
	b.SetBytes(mib)
	for i := 0; b.Loop(); i++ {
		if _, err := got.ReadAt(p, int64(i%64)*mib); err != nil {
			b.Fatal(err)
		}
	}
}

type bytesAt []byte

func (r bytesAt) ReadAt(p []byte, off int64) (int, error) { return copy(p, r[off:]), nil }

// BenchmarkMap opens a disk of just under 100 GB with blocks of 1 MiB, half of them present, and walks its map.
func BenchmarkMap(b *testing.B) {
	d := disk{size: 95000 * mib}
	f := build(d)
	for i := 0; i < 95000; i += 2 {
		f.place(d, i, f.size, fullyPresent)
		f.size += mib
	}
	file := make([]byte, dataAt)
	f.ReadAt(file, 0)
	for b.Loop() {
		d, err := Open(bytesAt(file), f.size)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for off := int64(0); ; n++ {
			_, end, err := d.NextData(off)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			off = end
		}
		if n != 47500 {
			b.Fatal(n)
		}
	}
	b.ReportAllocs()
}
