package spool

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// What is read and released close behind its arrival never gets to the file.
func TestInOrderStaysInMemory(t *testing.T) {
	const size = 32 << 20
	s := open(t, io.LimitReader(&ones{}, size), Options{MaxAhead: 4 << 20, Memory: 8 << 20})
	buf := make([]byte, 100_000)
	for off := int64(0); off < size; off += int64(len(buf)) {
		n, err := s.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		s.Release(off, int64(n))
		if held := inFile(t, s); held > 0 {
			t.Fatalf("at %d the file holds %d bytes", off, held)
		}
	}
	if info, err := s.file.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("%d bytes were written, %v", info.Size(), err)
	}
}

// Of a piece that leaves for the file, only what may still be read is written.
func TestSpillLeavesOutWhatWasReleased(t *testing.T) {
	r, w := io.Pipe()
	s := open(t, r, Options{Interrupt: func() { r.Close() }})
	body := bytes.Repeat([]byte("not zero"), extent/8)
	w.Write(body)
	s.ReadAt(make([]byte, 1), extent-1)
	s.Release(block, extent-2*block)
	for range leastPieces - 1 {
		w.Write(body)
	}
	w.Close()
	s.Wait(t.Context())
	if held := inFile(t, s); held != 2*block {
		t.Errorf("of two blocks of %d bytes that are left the file holds %d bytes", block, held)
	}
	got := make([]byte, block)
	for _, off := range []int64{0, extent - block} {
		if _, err := s.ReadAt(got, off); err != nil || !bytes.Equal(got, body[:block]) {
			t.Errorf("at %d: %v", off, err)
		}
	}
	s.Release(0, block)
	s.Release(extent-block, block)
	if held := inFile(t, s); held > 0 {
		t.Errorf("the file holds %d bytes after the release of all of them", held)
	}
}

// Readers that read each part once, more or less in order, and release it lose nothing, and leave nothing in the file.
func TestReleaseWhileItSpills(t *testing.T) {
	const parts, part = 12 * 16, extent / 16
	body := content(parts*part, 21)
	for seed := range uint64(5) {
		s := open(t, bytes.NewReader(body), Options{MaxAhead: int64(seed+1) * extent, Memory: 3 * extent})
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(w)))
				order := rng.Perm(parts / 4)
				slices.SortStableFunc(order, func(i, j int) int { return i/(8*int(seed+1)) - j/(8*int(seed+1)) })
				for _, i := range order {
					off := int64(i*4+w) * part
					got := make([]byte, part)
					if _, err := s.ReadAt(got, off); err != nil || !bytes.Equal(got, body[off:off+part]) {
						t.Errorf("the part at %d: %v", off, err)
						return
					}
					s.Release(off, part)
				}
			})
		}
		wg.Wait()
		s.Wait(t.Context())
		if held := blocks(t, s); held > 0 {
			t.Errorf("seed %d: %d bytes are held after the release of all", seed, held)
		}
	}
}
