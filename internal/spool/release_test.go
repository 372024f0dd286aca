package spool

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
)

// A file that is read and released in clusters, in any order, by several goroutines, is gone from the disk at the end.
func TestReleaseFreesSpace(t *testing.T) {
	const size = 16 << 20
	body := bytes.Repeat([]byte("not zero"), size/8)
	for name, cluster := range map[string]int{"64 KiB": 64 << 10, "a mebibyte": extent, "odd": 7777, "all": size} {
		t.Run(name, func(t *testing.T) {
			s := open(t, bytes.NewReader(body), Options{})
			s.Wait(t.Context())
			if held := blocks(t, s); held < size {
				t.Fatalf("%d bytes hold %d", size, held)
			}
			order := rand.New(rand.NewPCG(1, 1)).Perm((size + cluster - 1) / cluster)
			if name == "odd" {
				for i := range order {
					order[i] = i // pieces of blocks must come in some order
				}
			}
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for i := w * len(order) / 4; i < (w+1)*len(order)/4; i++ {
						off := order[i] * cluster
						n := min(cluster, size-off)
						if _, err := s.ReadAt(make([]byte, n), int64(off)); err != nil {
							t.Error(err)
						}
						s.Release(int64(off), int64(n))
					}
				})
			}
			wg.Wait()
			if held := blocks(t, s); held > 0 {
				t.Errorf("%d bytes are held after the release of all", held)
			}
			if _, err := s.ReadAt(make([]byte, 1), size/2); err == nil {
				t.Error("released bytes were read again")
			}
		})
	}
}

// Only what was released goes; what is beside it reads as before.
func TestReleaseKeepsTheRest(t *testing.T) {
	body := bytes.Repeat([]byte("not zero"), 4<<20/8)
	s := open(t, bytes.NewReader(body), Options{})
	s.Wait(t.Context())
	s.Release(extent-block, 2*extent+block) // from the last block of extent 0 to the end of extent 2
	if held, most := blocks(t, s), int64(len(body)-2*extent); held > most {
		t.Errorf("%d bytes are held, want %d", held, most)
	}
	for _, kept := range [][2]int64{{0, extent - block}, {3 * extent, 4 * extent}} {
		got := make([]byte, kept[1]-kept[0])
		if _, err := s.ReadAt(got, kept[0]); err != nil || !bytes.Equal(got, body[kept[0]:kept[1]]) {
			t.Errorf("[%d, %d): %v", kept[0], kept[1], err)
		}
	}
	for _, gone := range []int64{extent - block, extent - 1, extent, 3*extent - 1} {
		if _, err := s.ReadAt(make([]byte, 1), gone); err == nil {
			t.Errorf("byte %d was released and is read again", gone)
		}
	}
	if _, err := s.ReadAt(make([]byte, 2), extent-block-1); err == nil {
		t.Error("a read that ends among released bytes succeeded")
	}
}

// What has not arrived cannot be released, and nonsense is ignored.
func TestReleaseOutside(t *testing.T) {
	body := bytes.Repeat([]byte{3}, 2<<20)
	s := open(t, bytes.NewReader(body), Options{})
	s.Wait(t.Context())
	s.Release(-1, 5)
	s.Release(0, 0)
	s.Release(0, -1)
	s.Release(5<<20, 1<<20)
	s.Release(1<<62, 1<<62)
	s.Release(extent, 1<<62)
	if _, err := s.ReadAt(make([]byte, extent), 0); err != nil {
		t.Error(err)
	}
	s.Close()
	s.Release(0, extent) // a file that cannot be punched any more
	if len(s.given.full) > 2*wordsExtent {
		t.Errorf("the ledger has %d words for 2 MiB", len(s.given.full))
	}
}

func TestPartsAreBounded(t *testing.T) {
	var l ledger
	for i := range int64(2 * maxParts) {
		l.add(i*block, i*block+100)
	}
	if len(l.parts) > maxParts {
		t.Errorf("%d parts are remembered", len(l.parts))
	}
}

// FuzzLedger compares the ledger with a byte map: a block counts as released only if every byte of it was.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{0, 0, 255, 16, 16, 255, 1, 7, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		const unit, size = 512, 2 << 20
		var l ledger
		var model [size / unit]bool
		seen := map[int64]bool{}
		for ; len(script) >= 4; script = script[4:] {
			off := (int64(script[0])<<8 | int64(script[1])) % (size / unit)
			end := min(off+1+(int64(script[2])<<8|int64(script[3]))%512, size/unit)
			for i := off; i < end; i++ {
				model[i] = true
			}
			for _, e := range l.add(off*unit, end*unit) {
				if seen[e] {
					t.Fatalf("extent %d became complete twice", e)
				}
				seen[e] = true
				if !l.complete(e) {
					t.Fatalf("extent %d is not complete", e)
				}
			}
		}
		for b := range int64(size / block) {
			all := true
			for i := range int64(block / unit) {
				all = all && model[b*block/unit+i]
			}
			if l.released(b*block, b*block+1) && !all {
				t.Fatalf("block %d counts as released", b)
			}
		}
	})
}

// In order, or in the reverse of it, no byte is forgotten, however the pieces lie.
func TestLedgerForgetsNothingInOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var cuts []int64
		for at := int64(0); at < 4*extent; at += 1 + rng.Int64N(20_000) {
			cuts = append(cuts, at)
		}
		cuts = append(cuts, 4*extent)
		for _, backwards := range []bool{false, true} {
			var l ledger
			complete := 0
			for i := range len(cuts) - 1 {
				if backwards {
					i = len(cuts) - 2 - i
				}
				complete += len(l.add(cuts[i], cuts[i+1]))
			}
			if complete != 4 || len(l.parts) != 0 {
				t.Errorf("backwards %v: %d of 4 extents are complete, %d parts left", backwards, complete, len(l.parts))
			}
		}
	}
}
