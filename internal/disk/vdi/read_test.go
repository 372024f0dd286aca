package vdi

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/disk/disktest"
)

const gib = 1 << 30

// span is a range of bytes, end exclusive.
type span struct{ Start, End int64 }

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

const dataAt = 1024 // where build puts the data of a disk of up to 128 MiB

// TestOneReadPerRun: blocks that follow each other in guest and file are one read, holes none.
func TestOneReadPerRun(t *testing.T) {
	w := &watched{ReaderAt: build(disk{size: 16 * mib, present: []int{1, 2, 3, 9, 10, 5}})}
	d, err := Open(w, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.NextData(0); err != nil { // reads the map
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
		w.reads = nil
		if _, err := d.ReadAt(make([]byte, tc.n), tc.off); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, w.reads); diff != "" {
			t.Errorf("ReadAt(%d bytes at %d) reads (-want +got):\n%s", tc.n, tc.off, diff)
		}
	}
}

// TestRelease: what was read is given back once, and only if that was asked for and the read succeeded.
func TestRelease(t *testing.T) {
	f := build(disk{size: 16 * mib, present: []int{1, 2, 5}})
	both := []span{{dataAt + 100, dataAt + 2*mib}, {dataAt + 2*mib, dataAt + 3*mib}}
	broken := errors.New("reset")
	for _, tc := range []struct {
		name string
		once bool
		from int64 // where reads fail
		want []span
	}{
		{"not asked for", false, f.size, nil},
		{"asked for", true, f.size, both},
		{"failed", true, dataAt + 2*mib, both[:1]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &watched{ReaderAt: failing{f, tc.from, broken}}
			d, err := Open(w, f.size)
			if err != nil {
				t.Fatal(err)
			}
			if tc.once {
				d.ReadOnce()
			}
			n, err := d.ReadAt(make([]byte, 10*mib), mib+100)
			if failed := tc.from < f.size; errors.Is(err, broken) != failed || failed && n != 4*mib-100 {
				t.Errorf("ReadAt = %d, %v", n, err)
			}
			if diff := cmp.Diff(tc.want, w.released); diff != "" {
				t.Errorf("released (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a reader that cannot", func(t *testing.T) {
		d, err := Open(f, f.size)
		if err != nil {
			t.Fatal(err)
		}
		d.ReadOnce()
		if _, err := d.ReadAt(make([]byte, 10*mib), 0); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWaitsForNothing: with a file that is still arriving, the map is known as soon as it has arrived itself.
func TestWaitsForNothing(t *testing.T) {
	f := build(disk{size: 12 * gib, present: []int{0, 1, 5000, 12000}})
	d, err := Open(failing{f, mapAt + 4*12*1024, errors.New("read what has not arrived")}, -1)
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
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the map (-want +got):\n%s", diff)
	}
}

// TestRanges: adjacent blocks are one range, wherever they stand, but none of more than about a GiB.
func TestRanges(t *testing.T) {
	d := disk{size: 5 * gib}
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

// TestRefusedForGood: once a page of the map is refused, so is what else of it comes to be read, for the same reason.
func TestRefusedForGood(t *testing.T) {
	f := build(disk{size: 8 * mib, present: []int{0}})
	f.put32(mapAt+4*5, 1000)
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := d.ReadAt(make([]byte, 512), 0)
		check(t, "ReadAt", err, "vdi_block_index")
	}
}

// TestOtherPage: a block that shares its place with one of another page is found by whoever reads second.
func TestOtherPage(t *testing.T) {
	f := build(disk{size: 20 * gib, present: []int{0, 10000}})
	f.put32(mapAt+4*10001, 0)
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	if _, err := d.ReadAt(b, 10000*mib); err != nil {
		t.Fatal(err)
	}
	_, err = d.ReadAt(b, 0)
	check(t, "the other page", err, "vdi_block_duplicate")
}

// TestNextPage: what is wrong in a page of the map is found by who comes to it from the page before.
func TestNextPage(t *testing.T) {
	f := build(disk{size: 20 * gib, present: []int{8191}}) // the last entry of the first page
	f.put32(mapAt+4*8192, 1<<20)
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = d.NextData(0)
	check(t, "NextData", err, "vdi_block_index")
	_, err = d.ReadAt(make([]byte, 2*mib), 8191*mib)
	check(t, "ReadAt", err, "vdi_block_index")
	if _, err := d.ReadAt(make([]byte, mib), 8191*mib); err != nil {
		t.Errorf("the block before it: %v", err)
	}
	_, _, err = d.NextData(8192 * mib)
	check(t, "NextData in it", err, "vdi_block_index")
}

// TestFirstReads: many come at once to a page that nobody has read. If two of them checked it, the second would find
// every place taken.
func TestFirstReads(t *testing.T) {
	f := build(disk{size: 8 * mib, present: []int{0, 7}})
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
	want := disk{size: 8 * mib, present: []int{0, 7}}
	d, err := Open(endsWithEOF{build(want)}, -1)
	if err != nil {
		t.Fatal(err)
	}
	disktest.Conform(t, d, guest(want))
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
	d := disk{size: 64 * mib}
	for i := range 64 {
		d.present = append(d.present, i^1)
	}
	f := build(d)
	got, err := Open(bytesAt(f.bytes(0, int(f.size))), f.size)
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

// BenchmarkMap opens a disk of just under 100 GB, half of whose blocks have data, and walks its map.
func BenchmarkMap(b *testing.B) {
	f := build(disk{size: 95000 * mib})
	for i := int64(0); i < 95000; i += 2 {
		f.put32(mapAt+4*i, uint32(i/2))
	}
	file := bytesAt(f.bytes(0, int(f.size)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := Open(file, -1)
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
}
