package store

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// span is a chunk as the reference sees it.
type span struct{ off, n int64 }

// reference cuts a whole guest in memory by the words of the rule.
func reference(guest []byte) []span {
	page := func(i int) []byte { return guest[i*pageSize : min((i+1)*pageSize, len(guest))] }
	pages := (len(guest) + pageSize - 1) / pageSize
	hole := make([]bool, pages)
	for i := 0; i < pages; {
		j := i
		for j < pages && isZero(page(j)) {
			j++
		}
		for k := i; k < j && j-i >= holeRun; k++ {
			hole[k] = true
		}
		i = max(j, i+1)
	}
	var spans []span
	start := -1
	for i := range pages {
		if hole[i] {
			continue
		}
		if start < 0 {
			start = i
		}
		end := min((i+1)*pageSize, len(guest))
		n := end - start*pageSize
		if n >= maxChunk || n >= minChunk && judge(page(i)) == pageCut || i+1 == pages || hole[i+1] {
			spans = append(spans, span{int64(start * pageSize), int64(n)})
			start = -1
		}
	}
	return spans
}

// rangesDisk is a guest with a map of its own.
type rangesDisk struct {
	*bytes.Reader
	ranges [][2]int64
}

func (d *rangesDisk) NextData(off int64) (int64, int64, error) {
	for _, r := range d.ranges {
		if r[1] > off {
			return max(off, r[0]), r[1], nil
		}
	}
	return 0, 0, io.EOF
}

// cutDisk runs the first stages of a write, one after the other, and returns its chunks with their bytes.
func cutDisk(t testing.TB, d Disk) (spans []span, data [][]byte) {
	t.Helper()
	var c cutter
	note := func(s *segment) {
		for _, ch := range s.chunks {
			spans = append(spans, span{ch.off, int64(ch.n)})
			data = append(data, bytes.Clone(s.buf[ch.at:ch.at+ch.n]))
		}
	}
	fresh := func(context.Context) (*segment, error) {
		s := newSegment()
		for i := range s.buf { // what a segment held before must not show
			s.buf[i] = 0xee
		}
		s.reset()
		return s, nil
	}
	w := walker{disk: d, fresh: fresh, emit: func(_ context.Context, s *segment) error {
		if err := s.read(d); err != nil {
			return err
		}
		c.cut(s)
		note(s)
		return nil
	}}
	if err := w.walk(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, _ := fresh(t.Context())
	c.finish(last, d.Size())
	note(last)
	return spans, data
}

// sparseGuest has runs of zero pages of every length about holeRun, at every place that matters.
func sparseGuest(rng *rand.Rand) []byte {
	guest := make([]byte, rng.IntN(3<<20))
	for at := 0; at < len(guest); {
		n := min(pageSize*(1+rng.IntN(40)), len(guest)-at)
		fill := byte(rng.Uint32())
		for i := at; i < at+n; i += 1 + rng.IntN(900) {
			guest[i] = fill
		}
		at += n + pageSize*rng.IntN(2*holeRun) + rng.IntN(2)*rng.IntN(pageSize)
	}
	return guest
}

// randomMap covers everything that is not zero, by sectors, and some of what is.
func randomMap(guest []byte, rng *rand.Rand) [][2]int64 {
	var ranges [][2]int64
	for at := 0; at < len(guest); {
		n := min(512*(1+rng.IntN(200)), len(guest)-at)
		if !isZero(guest[at:at+n]) || rng.IntN(3) == 0 {
			ranges = append(ranges, [2]int64{int64(at), int64(at + n)})
		}
		at += n
	}
	return ranges
}

func TestCutsDependOnTheGuestAlone(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 11))
		guest := sparseGuest(rng)
		want := reference(guest)
		maps := [][][2]int64{{{0, int64(len(guest))}}, randomMap(guest, rng), randomMap(guest, rng)}
		if len(guest) == 0 {
			maps[0] = nil
		}
		for i, ranges := range maps {
			got, data := cutDisk(t, &rangesDisk{bytes.NewReader(guest), ranges})
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
				t.Fatalf("seed %d, map %d, guest of %d:\n%s", seed, i, len(guest), diff)
			}
			for k, s := range got {
				if !bytes.Equal(data[k], guest[s.off:s.off+s.n]) {
					t.Fatalf("seed %d, map %d: the chunk at %d has other bytes", seed, i, s.off)
				}
			}
		}
	}
}

// A disk that is a stream keeps little: each byte is read once, and reads begin in order.
func TestEachByteIsReadOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	guest := sparseGuest(rng)
	d := &onceDisk{rangesDisk: rangesDisk{bytes.NewReader(guest), randomMap(guest, rng)}}
	cutDisk(t, d)
	for i := 1; i < len(d.reads); i++ {
		if d.reads[i][0] < d.reads[i-1][1] {
			t.Fatalf("read %v after %v", d.reads[i], d.reads[i-1])
		}
	}
	if diff := cmp.Diff(merge(d.ranges), merge(d.reads)); diff != "" {
		t.Errorf("what is mapped and what was read differ:\n%s", diff)
	}
}

// merge joins ranges that adjoin.
func merge(ranges [][2]int64) [][2]int64 {
	var out [][2]int64
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1][1] == r[0] {
			out[n-1][1] = r[1]
			continue
		}
		out = append(out, r)
	}
	return out
}

type onceDisk struct {
	rangesDisk
	reads [][2]int64
}

func (d *onceDisk) ReadAt(p []byte, off int64) (int, error) {
	d.reads = append(d.reads, [2]int64{off, off + int64(len(p))})
	return d.rangesDisk.ReadAt(p, off)
}

// A disk whose map lies ends the write with an error.
func TestBadMaps(t *testing.T) {
	for name, r := range map[string][2]int64{
		"empty range": {0, 0}, "backwards": {8192, 4096}, "past the end": {0, 1 << 20}, "before the offset": {-4096, 4096},
	} {
		d := &badMap{bytes.NewReader(make([]byte, 10000)), r}
		w := walker{disk: d,
			fresh: func(context.Context) (*segment, error) { s := newSegment(); s.reset(); return s, nil },
			emit:  func(_ context.Context, s *segment) error { return s.read(d) }}
		if err := w.walk(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

type badMap struct {
	*bytes.Reader
	data [2]int64
}

func (d *badMap) NextData(int64) (int64, int64, error) { return d.data[0], d.data[1], nil }
