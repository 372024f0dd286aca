package blocks

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"ingot/internal/disk/disktest"
)

const bits = 12

// places is a Map of a disk that is known whole.
type places []int64

func (p places) Host(block int64) (int64, error) { return p[block], nil }

type guest struct{ *Disk }

func (g guest) Size() int64 { return g.Disk.Size }

// scattered is a disk whose blocks stand here and there in a file, some in order and some nowhere, and its bytes.
func scattered(seed uint64) (d *Disk, file, want []byte) {
	rng := rand.New(rand.NewPCG(seed, 1))
	size := 50<<bits + int64(rng.IntN(8)*512) + 512
	want = make([]byte, size)
	at := make(places, 51)
	file = make([]byte, 1<<bits, 60<<bits)
	for i := range at {
		if rng.IntN(3) == 0 {
			continue
		}
		if rng.IntN(4) == 0 {
			file = append(file, make([]byte, 512)...)
		}
		at[i] = int64(len(file))
		for range 1 << bits {
			file = append(file, byte(rng.Uint32())|1)
		}
		copy(want[i<<bits:], file[at[i]:])
	}
	read := func(p []byte, off int64) error {
		_, err := bytes.NewReader(file).ReadAt(p, off)
		return err
	}
	return &Disk{Bits: bits, Size: size, Map: at, Read: read}, file, want
}

func TestConform(t *testing.T) {
	for seed := range uint64(20) {
		d, _, want := scattered(seed)
		disktest.Conform(t, guest{d}, want)
	}
}

// Whatever is read is released, once and to the byte.
func TestRelease(t *testing.T) {
	d, file, want := scattered(7)
	released := make([]int, len(file))
	d.Release = func(off, n int64) {
		for i := range n {
			released[off+i]++
		}
	}
	got := make([]byte, len(want))
	for off := 0; off < len(got); off += 5000 {
		if _, err := d.ReadAt(got[off:min(off+5000, len(got))], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("the bytes differ")
	}
	at := d.Map.(places)
	for block, from := range at {
		for i := int64(0); from != Hole && i < min(1<<bits, d.Size-int64(block)<<bits); i++ {
			if released[from+i] != 1 {
				t.Fatalf("byte %d of block %d was released %d times", i, block, released[from+i])
			}
		}
	}
}

// failing is a map or a file that cannot be read.
type failing struct{ err error }

func (f failing) Host(int64) (int64, error) { return 0, f.err }

func TestErrorsPass(t *testing.T) {
	broken := errors.New("broken")
	d, _, _ := scattered(3)
	d.Read = func([]byte, int64) error { return broken }
	if _, err := d.ReadAt(make([]byte, d.Size), 0); !errors.Is(err, broken) {
		t.Errorf("of the file: %v", err)
	}
	d.Map = failing{broken}
	if _, _, err := d.NextData(0); !errors.Is(err, broken) {
		t.Errorf("of the map, NextData: %v", err)
	}
	if _, err := d.ReadAt(make([]byte, 1), 0); !errors.Is(err, broken) {
		t.Errorf("of the map, ReadAt: %v", err)
	}
	if _, err := d.ReadAt(make([]byte, 1), d.Size); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}
