package qcow2

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"ingot/internal/refusal"
)

// Streams that fill a file without a gap are given back to its last byte when they are read in order; in any order no
// sector is given back twice, or before all of it has been read.
func TestEnds(t *testing.T) {
	const sectors = 400
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 5))
		cuts := []int64{0}
		for at := int64(0); at < sectors*sectorSize; cuts = append(cuts, at) {
			at = min(at+1+rng.Int64N(1<<rng.IntN(12)), sectors*sectorSize)
		}
		order := make([]int, len(cuts)-1)
		for i := range order {
			order[i] = i
		}
		shuffled := seed%2 == 1
		if shuffled {
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		var e ends
		var read [sectors * sectorSize]bool
		var given [sectors]bool
		total := 0
		for _, i := range order {
			for b := cuts[i]; b < cuts[i+1]; b++ {
				read[b] = true
			}
			from, to := e.cover(cuts[i], cuts[i+1])
			for s := from / sectorSize; s < to/sectorSize; s++ {
				for b := range sectorSize {
					if !read[s*sectorSize+int64(b)] {
						t.Fatalf("sector %d is given back before its byte %d was read", s, b)
					}
				}
				if given[s] {
					t.Fatalf("sector %d is given back twice", s)
				}
				given[s] = true
				total++
			}
		}
		if !shuffled && total != sectors {
			t.Errorf("%d of %d sectors were given back", total, sectors)
		}
	}
}

// forgetful fails to read what was released.
type forgetful struct{ once }

func (f *forgetful) ReadAt(p []byte, off int64) (int, error) {
	for i := off; i < min(off+int64(len(p)), int64(len(f.file))); i++ {
		if f.released[i] {
			return 0, errors.New("gone")
		}
	}
	return f.once.ReadAt(p, off)
}

// A stream inside of others, which only a made-up file has, is refused when its bytes are gone.
func TestStreamWithinOthers(t *testing.T) {
	b := newBuild(setting{version: 3, clusterBits: 12, size: 1 << 20})
	stream := b.compress(b.clusterOf(1))
	at := 0
	for i := range 2 {
		at = b.stream(i, stream)
	}
	if at%sectorSize == 0 || len(stream) < sectorSize {
		t.Fatal("the second stream does not begin within a sector")
	}
	b.plain(2, 1) // parts the two from the third
	b.u64(b.entryAt(3), b.descriptor(at-1, 1))
	b.alloc(0)
	f := &forgetful{once{file: b.file, released: make([]bool, len(b.file)), t: t}}
	d, err := Open(f, int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	d.ReadOnce()
	if _, _, err := d.NextData(0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if _, err := d.ReadAt(make([]byte, 3<<12), 0); err != nil {
		t.Fatal(err)
	}
	_, err = d.ReadAt(make([]byte, 1<<12), 3<<12)
	if r := refusal.As(err); r == nil || r.Code != "qcow2_cluster_twice" {
		t.Errorf("%v, want qcow2_cluster_twice", err)
	}
}
