package decompress

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestScanner(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		w := new(bitWriter)
		var want []int64
		w.add(uint64('B'), 8).add(0, 24)
		for range rng.IntN(20) {
			for range rng.IntN(1 << rng.IntN(17)) {
				w.add(rng.Uint64(), 1+rng.IntN(3))
			}
			want = append(want, int64(w.n))
			w.add(blockMagic, 48)
		}
		w.add(0, 100)
		src := newWindow(t.Context(), bytes.NewReader(w.b), 1<<20)
		var got []int64
		newScanner(src).run(func(bit int64) bool {
			got = append(got, bit)
			src.release(bit / 8)
			return true
		})
		if !slices.Equal(got, want) {
			t.Fatalf("found at %v, want %v", got, want)
		}
	}
}

// TestScannerLeftBehind releases what the scanner has not looked at.
func TestScannerLeftBehind(t *testing.T) {
	w := new(bitWriter).add(blockMagic, 48)
	for range 100_000 {
		w.add(0, 32)
	}
	w.add(blockMagic, 48).add(0, 3).add(blockMagic, 48).add(0, 100)
	src := newWindow(t.Context(), bytes.NewReader(w.b), 1<<20)
	var got []int64
	newScanner(src).run(func(bit int64) bool {
		got = append(got, bit)
		if bit == 0 {
			if _, err := src.readFull(make([]byte, 1), 400_000); err != nil {
				t.Error(err)
			}
			src.release(400_006)
		}
		return true
	})
	if want := []int64{0, 400_006 * 8, 400_006*8 + magicBits + 3}; !slices.Equal(got, want) {
		t.Errorf("found at %v, want %v", got, want)
	}
}

// TestInvert inverts any column, not only those of a transform: it compares with the chain followed step by step.
func TestInvert(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	w := newBzip2Worker()
	for round := range 30 {
		n := fewRows + rng.IntN(1<<(8+rng.IntN(10)))
		if round%10 == 0 {
			n = maxBlock - round/10
		}
		kinds := 1 + rng.IntN(1<<rng.IntN(9))
		column := make([]byte, n)
		clear(w.count[:])
		for i := range column {
			column[i] = byte(rng.IntN(min(kinds, 256)))
			if kinds%3 == 0 && i > 0 && rng.IntN(50) > 0 {
				column[i] = column[i-1]
			}
			w.count[column[i]]++
		}
		copy(w.last, column)
		row := rng.IntN(n)
		want := follow(column, row)
		if got := w.invert(n, row); !bytes.Equal(got, want) {
			t.Fatalf("%d rows of %d kinds from %d: differs", n, kinds, row)
		}
	}
}

// follow inverts the transform by its definition.
func follow(column []byte, row int) []byte {
	next := make([]int, len(column))
	for i := range next {
		next[i] = i
	}
	slices.SortStableFunc(next, func(a, b int) int { return int(column[a]) - int(column[b]) })
	text := make([]byte, len(column))
	for i := range text {
		row = next[row]
		text[i] = column[row]
	}
	return text
}

func TestExpand(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 100 {
		block := make([]byte, rng.IntN(1<<rng.IntN(18)))
		same := 1 + rng.IntN(10)
		for i := range block {
			if block[i] = byte(rng.IntN(256)); i > 0 && rng.IntN(10) < same {
				block[i] = block[i-1]
			}
		}
		var got []byte
		x := expander{piece: make([]byte, 0, 1+rng.IntN(5000)), send: func(piece []byte) ([]byte, bool) {
			got = append(got, piece...)
			return piece[:0], true
		}}
		if want := expandPlain(block); !x.expand(block) || !bytes.Equal(got, want) || x.sum() != plainSum(want) {
			t.Fatalf("%d bytes to %d, sum %08x; want %d, %08x", len(block), len(got), x.sum(), len(want), plainSum(want))
		}
	}
}

// expandPlain undoes the run lengths byte by byte.
func expandPlain(block []byte) (text []byte) {
	run := 0
	for i, b := range block {
		if run == 4 {
			text = append(text, bytes.Repeat(block[i-1:i], int(b))...)
			run = 0
			continue
		}
		if run == 0 || b != block[i-1] {
			run = 0
		}
		run++
		text = append(text, b)
	}
	return text
}
