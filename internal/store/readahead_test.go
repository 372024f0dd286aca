package store_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/export"
	"ingot/internal/store"
)

// near is a place of objects that counts what it is asked for, and takes its time for each answer.
type near struct {
	store.Objects
	latency         time.Duration
	requests, bytes atomic.Int64
}

func (n *near) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	n.requests.Add(1)
	n.bytes.Add(int64(len(p)))
	time.Sleep(n.latency)
	return n.Objects.ReadAt(ctx, name, p, off)
}

func (n *near) Stat(ctx context.Context, name string) (int64, error) {
	n.requests.Add(1)
	time.Sleep(n.latency)
	return n.Objects.Stat(ctx, name)
}

// distant is the same, and says so.
type distant struct{ *near }

func (distant) Distant() {}

func (n *near) reset() { n.requests.Store(0); n.bytes.Store(0) }

// images keeps a disk and a later build of it, which lies in the packs of both.
func images(t testing.TB, size int, far bool) (*house, *near, []byte, [2]store.Written) {
	n := &near{}
	h := newHouse(t, func(o store.Objects) store.Objects {
		n.Objects = o
		if far {
			return distant{n}
		}
		return n
	})
	disk := guest(size, 31)
	_, first := h.keep(whole(disk))
	rng := rand.New(rand.NewPCG(1, 2))
	for range size >> 20 {
		copy(disk[rng.IntN(size-4096):], "changed")
	}
	_, second := h.keep(whole(disk))
	return h, n, disk, [2]store.Written{first, second}
}

// A reader that goes on asks a distant place seldom, and for little more than it needs.
func TestReadAhead(t *testing.T) {
	reads := map[string]func(*store.Reader) []byte{
		"in order": func(r *store.Reader) []byte { return must(io.ReadAll(io.NewSectionReader(r, 0, r.Size())))(t) },
		"a file, by several goroutines": func(r *store.Reader) []byte {
			f := must(export.New().File(r, "digest", export.Raw))(t)
			var b bytes.Buffer
			if err := f.WriteRange(t.Context(), &b, 0, f.Size()); err != nil {
				t.Error(err)
			}
			return b.Bytes()
		},
	}
	type cost struct{ requests, bytes int64 }
	costs := map[bool]map[string]cost{false: {}, true: {}}
	for far, of := range costs {
		for name, read := range reads {
			h, n, disk, built := images(t, 32<<20, far)
			n.reset()
			if !sameBytes(read(h.open(built[1])), disk) {
				t.Errorf("%s, distant %v: other bytes were read", name, far)
			}
			of[name] = cost{n.requests.Load(), n.bytes.Load()}
		}
	}
	for name := range reads {
		each, ahead := costs[false][name], costs[true][name]
		if ahead.requests*3 > each.requests || ahead.bytes > each.bytes*5/4 {
			t.Errorf("%s: %+v ahead, where each chunk's own needs %+v", name, ahead, each)
		}
	}
}

// Reads here and there cost no more than they need.
func TestNoReadAheadAfterJumps(t *testing.T) {
	cost := func(far bool) (requests, bytes int64) {
		h, n, disk, built := images(t, 32<<20, far)
		r := h.open(built[1])
		n.reset()
		rng := rand.New(rand.NewPCG(3, 4))
		half := len(disk) / 2
		for i := range 100 {
			off, p := int64(i%2*half+rng.IntN(half-4096)), make([]byte, 4096)
			if _, err := r.ReadAt(p, off); err != nil || !sameBytes(p, disk[off:off+4096]) {
				t.Fatalf("read at %d: %v", off, err)
			}
		}
		return n.requests.Load(), n.bytes.Load()
	}
	requests, bytes := cost(false)
	farRequests, farBytes := cost(true)
	if farRequests > requests || farBytes > bytes {
		t.Errorf("%d requests for %d bytes, where %d for %d were enough", farRequests, farBytes, requests, bytes)
	}
}

// Readers side by side, in order and not, and packs that go away under them.
func TestReadAheadBesideTheSweep(t *testing.T) {
	h, _, disk, built := images(t, 24<<20, true)
	r := h.open(built[1])
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 5))
			for off := 0; off < len(disk); {
				p := make([]byte, 1+rng.IntN(700_000))
				n, err := r.ReadAt(p, int64(off))
				if err != nil && err != io.EOF || !sameBytes(p[:n], disk[off:off+n]) {
					t.Errorf("%d bytes at %d: %v", n, off, err)
					return
				}
				if off += n; rng.IntN(20) == 0 {
					off = rng.IntN(len(disk))
				}
			}
		})
	}
	wg.Go(func() {
		h.delete(1)
		h.later()
		for range 3 {
			if _, err := h.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// What one reader holds is bounded, however much it reads.
func TestReadAheadMemoryIsBounded(t *testing.T) {
	h, _, disk, built := images(t, 128<<20, true)
	r := h.open(built[1])
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := int64(m.HeapAlloc), int64(0)
	p := make([]byte, 1<<20)
	for off := 0; off < len(disk); off += len(p) {
		if _, err := r.ReadAt(p, int64(off)); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if off%(8<<20) == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.HeapAlloc)-before)
		}
	}
	if limit := int64(48 << 20); most > limit { // 4 batches of 4 MiB, and 16 MiB of expanded chunks
		t.Errorf("%d MiB alive, want at most %d", most>>20, limit>>20)
	}
}

// BenchmarkReadDistant reads an image in order from a place that takes 20 ms for each request, one chunk's neighbours
// at a time and ahead.
func BenchmarkReadDistant(b *testing.B) {
	for _, far := range []bool{false, true} {
		h, n, disk, built := images(b, 128<<20, far)
		n.latency = 20 * time.Millisecond
		b.Run(fmt.Sprintf("ahead=%v", far), func(b *testing.B) {
			b.SetBytes(int64(len(disk)))
			n.reset()
			for b.Loop() {
				f := must(export.New().File(h.open(built[1]), "digest", export.Raw))(b)
				if err := f.WriteRange(b.Context(), io.Discard, 0, f.Size()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n.requests.Load())/float64(b.N)/float64(len(disk))*(1<<30), "requests/GiB")
			b.ReportMetric(float64(n.bytes.Load())/float64(b.N)/float64(len(disk)), "fetched/guest")
		})
	}
}

// sameBytes is bytes.Equal under a name that the variables of these tests do not hide.
func sameBytes(a, b []byte) bool { return string(a) == string(b) }
