package decompress

import (
	"bytes"
	"compress/bzip2"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"ingot/internal/disk/disktest"
)

func TestBzip2Tools(t *testing.T) {
	disk := diskBytes(t, 2<<20)
	for _, tool := range [][]string{{"bzip2", "-1"}, {"bzip2", "-9"}, {"lbzip2", "-n3"}, {"lbzip2", "-1", "-n2"}, {"pbzip2", "-p3", "-b3"}} {
		t.Run(tool[0], func(t *testing.T) {
			disktest.NeedTool(t, tool[0])
			for _, size := range []int{0, 1, 100, HeadSize, 70_000, len(disk)} {
				packed := piped(t, disk[:size], tool[0], tool[1:]...)
				for name, src := range sources(packed) {
					got, err := read(t, src, large)
					if err != nil || !bytes.Equal(got, disk[:size]) {
						t.Errorf("%v, %d bytes, %s: %d bytes, %v", tool, size, name, len(got), err)
					}
				}
			}
		})
	}
}

// TestBzip2Texts has data that is hard for one of the stages: runs of all lengths, blocks that repeat themselves, and
// blocks about as long as where the inversion changes its way.
func TestBzip2Texts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	runs := []byte("x")
	for i := range 3000 {
		runs = append(runs, bytes.Repeat([]byte{byte(rng.IntN(3))}, i%600)...)
	}
	texts := map[string][]byte{
		"runs": runs, "zeros": make([]byte, 46<<20), "ones": bytes.Repeat([]byte{0xff}, 100_000),
		"two": bytes.Repeat([]byte("ab"), 500_000), "three": bytes.Repeat([]byte("abc"), 100_000),
		"long": bytes.Repeat(noise(rng, 5000), 100), "noise": noise(rng, 1<<20),
	}
	for _, size := range []int{fewRows - 1, fewRows, fewRows + 1, fewRows + cuts} {
		texts[fmt.Sprint(size)] = noise(rng, size)
	}
	for name, text := range texts {
		got, err := read(t, bytes.NewReader(bzipped(t, text)), large)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(text), err)
		}
	}
}

func noise(rng *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestBzip2Accepted(t *testing.T) {
	disk := diskBytes(t, 200_000)
	half := len(disk) / 2
	whole, nothing := bzipped(t, disk), bzipped(t, nil)
	tests := map[string][]byte{
		"two streams":   slices.Concat(bzipped(t, disk[:half]), bzipped(t, disk[half:])),
		"of two levels": slices.Concat(piped(t, disk[:half], "bzip2", "-1"), bzipped(t, disk[half:])),
		"empty ones":    slices.Concat(nothing, nothing, whole, nothing),
		"one zero":      append(whole[:len(whole):len(whole)], 0),
		"zeros":         append(whole[:len(whole):len(whole)], make([]byte, 3<<20)...),
		"many streams":  append(bytes.Repeat(nothing, 20_000), whole...),
	}
	for name, packed := range tests {
		for how, src := range sources(packed) {
			got, err := read(t, src, large)
			if err != nil || !bytes.Equal(got, disk) {
				t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
			}
		}
	}
}

// TestBzip2Crafted has valid files that no encoder writes. What comes out is what the standard library and bzip2 say.
func TestBzip2Crafted(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	magic := []byte{0x31, 0x41, 0x59, 0x26, 0x53, 0x59}
	plain := right(t, bytesBlock(symbols(rng, 30_000)))
	var hidden bitWriter
	for range 200 {
		hidden.add(0, rng.IntN(8)) // each at some bit of a byte
		text := make([]byte, 3000)
		for i := range text {
			text[i] = byte(2 * rng.IntN(16))
		}
		hiddenBlock(text).write(&hidden)
	}
	hidden.add(0, 7)
	selectors := plain
	selectors.selectors = 1<<15 - 1
	const lone = "a run without its count" // which bzip2 refuses and the standard library takes for zero
	ends := bytesBlock([]byte{5, 0, 0})    // four equal bytes
	tests := map[string][]byte{
		"plain":          stream('9', plain, plain),
		"magic":          stream('9', right(t, bytesBlock(slices.Concat(symbols(rng, 999), magic, symbols(rng, 5000)))), plain),
		"magic at end":   stream('9', right(t, bytesBlock(slices.Concat(symbols(rng, 999), magic))), plain),
		"only magic":     stream('9', right(t, bytesBlock(bytes.Repeat(magic, 50_000))), plain, plain),
		"hidden blocks":  stream('9', plain, right(t, bytesBlock(hidden.b)), plain, plain, plain),
		"hidden in each": stream('9', slices.Repeat([]crafted{right(t, bytesBlock(hidden.b))}, 5)...),
		"selectors":      stream('9', selectors, plain),
		lone:             stream('9', right(t, ends), plain),
		"one byte":       stream('9', right(t, bytesBlock([]byte{7}))),
	}
	for name, packed := range tests {
		want, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(packed)))
		if err != nil {
			t.Fatalf("%s: the standard library: %v", name, err)
		}
		if name != lone {
			if tool := piped(t, packed, "bzip2", "-d"); !bytes.Equal(tool, want) {
				t.Fatalf("%s: bzip2 and the standard library differ", name)
			}
		}
		for _, workers := range []int{1, 2, 5} {
			withCores(t, workers, func() {
				got, err := read(t, bytes.NewReader(packed), large)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %d workers: %d bytes of %d, %v", name, workers, len(got), len(want), err)
				}
			})
		}
	}
}

// TestBzip2GuessesBeyondTheWindow gives up guessing while both workers are in guesses that end beyond the window, which moves
// only once a third block is decoded.
func TestBzip2GuessesBeyondTheWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	hidden := func(n, long int) crafted {
		var w bitWriter
		for range n {
			text := make([]byte, long)
			for i := range text {
				text[i] = byte(18 + 4*rng.IntN(4)) // neither eight ones in a row nor seven zeros, whatever the bit it starts at
			}
			block := hiddenBlock(text)
			block.toggles = true
			block.write(&w)
		}
		w.add(0, 7)
		return right(t, bytesBlock(w.b))
	}
	const window = maxBlockIn + 3<<20 // of two workers, from where third begins
	third := stream('9', right(t, bytesBlock(symbols(rng, 100_000))))
	empty := stream('9')
	packed := slices.Concat(stream('9', hidden(maxWasted-1, 300), hidden(1, 300)), third,
		bytes.Repeat(empty, (window-len(third)-50_000)/len(empty)), stream('9', hidden(1, 900_000)))
	want, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	withCores(t, 2, func() {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		f := newBzip2(ctx, bytes.NewReader(packed))
		var got []byte
		for {
			piece, err := f.next()
			if got = append(got, piece...); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // for the workers to run ahead as far as they can
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	})
}

// symbols are noise without runs, which might get too long, and without an end.
func symbols(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(2 + rng.IntN(253))
	}
	return b
}

func withCores(t testing.TB, n int, run func()) {
	t.Helper()
	before := runtime.GOMAXPROCS(n)
	defer runtime.GOMAXPROCS(before)
	goroutines := runtime.NumGoroutine()
	run()
	settle(t, goroutines)
}

func TestBzip2Refused(t *testing.T) {
	const wording = "We had a problem decompressing your file. "
	rng := rand.New(rand.NewPCG(3, 3))
	disk := diskBytes(t, 1_500_000)
	whole := bzipped(t, disk)
	plain := right(t, bytesBlock(symbols(rng, 500)))
	with := func(change func(*crafted)) []byte {
		c := plain
		change(&c)
		return stream('9', plain, c, plain)
	}
	flip := func(bit int, b []byte) []byte {
		c := bytes.Clone(b)
		c[bit/8] ^= 0x80 >> (bit % 8)
		return c
	}
	// From here on a code's lengths can be anything: magic to selectors of a block with two bytes in use.
	start := func() *bitWriter {
		w := new(bitWriter).add(0x425a6839, 32).add(blockMagic, 48).add(0, 32).add(0, 25).add(0x8000, 16).add(0xc000, 16)
		return w.add(2, 3).add(1, 15).add(0, 1)
	}
	full := bytesBlock(append(bytes.Repeat([]byte{1}, 18), 1)) // runs of 2, 4, 8 ... bytes: 1,048,574
	tests := []struct {
		name, code, part string
		packed           []byte
	}{
		{"level 0", "bzip2_header", "level, 1 to 9", []byte("BZh0\x31\x41\x59\x26\x53\x59")},
		{"level A", "bzip2_header", "level, 1 to 9", []byte("BZhA\x31\x41\x59\x26\x53\x59")},
		{"no magic", "bzip2_corrupt", "no block starts", slices.Concat([]byte("BZh9"), make([]byte, 100))},
		{"randomised", "bzip2_randomised", "bunzip2", with(func(c *crafted) { c.randomised = 1 })},
		{"row", "bzip2_corrupt", "rows", with(func(c *crafted) { c.row = 500 })},
		{"no bytes", "bzip2_corrupt", "no byte is in use", with(func(c *crafted) { c.ranges, c.used = 0, nil })},
		{"one code", "bzip2_corrupt", "1 codes", with(func(c *crafted) { c.codes = 1 })},
		{"seven codes", "bzip2_corrupt", "7 codes", with(func(c *crafted) { c.codes = 7 })},
		{"too few selectors", "bzip2_corrupt", "fewer selectors", with(func(c *crafted) { c.selectors = 10 })},
		{"no selectors", "bzip2_corrupt", "without selectors", new(bitWriter).add(0x425a6839, 32).add(blockMagic, 48).add(0, 57).
			add(0x8000, 16).add(0xc000, 16).add(2, 3).add(0, 15).add(0, 400).b},
		{"selector", "bzip2_corrupt", "selector", new(bitWriter).add(0x425a6839, 32).add(blockMagic, 48).add(0, 57).
			add(0x8000, 16).add(0xc000, 16).add(2, 3).add(1, 15).add(3, 2).add(0, 400).b},
		{"length 0", "bzip2_corrupt", "20 bits", start().add(0, 5).add(0, 400).b},
		{"length 21", "bzip2_corrupt", "20 bits", start().add(20, 5).add(0b10, 2).add(0, 400).b},
		{"too many codewords", "bzip2_corrupt", "than fit", start().add(1, 5).add(0, 400).b},
		{"unused codeword", "bzip2_corrupt", "does not have", start().add(3, 5).add(0, 4).add(3, 5).add(0, 4).add(0xff, 8).add(0, 400).b},
		{"long unused codeword", "bzip2_corrupt", "does not have", start().add(12, 5).add(0, 4).add(12, 5).add(0, 4).add(0xffff, 16).add(0, 400).b},
		{"level 1, block of level 9", "bzip2_corrupt", "larger than its level", flip(28, whole)},
		{"run past any block", "bzip2_corrupt", "larger than its level", stream('9', full)},
		{"symbols past any block", "bzip2_corrupt", "larger than its level", stream('9', bytesBlock(symbols(rng, maxBlock+1)))},
		{"endless lengths", "bzip2_corrupt", "end does not come", slices.Concat(start().add(5, 5).b, bytes.Repeat([]byte{0b10111011}, maxBlockIn+1000))},
		{"block checksum", "bzip2_checksum", "block from decompressed byte ", with(func(c *crafted) { c.crc++ })},
		{"stream checksum", "bzip2_checksum", "stream that ends at compressed byte ", flip(len(whole)*8-20, whole)},
		{"damage", "bzip2_", "decompressed byte ", flip(300_000, whole)},
		{"trailing text", "bzip2_trailing_data", "truncate -s ", slices.Concat(whole, []byte("text"))},
		{"trailing header", "bzip2_trailing_data", "truncate -s ", slices.Concat(whole, []byte("BZh"))},
		{"trailing bad header", "bzip2_trailing_data", "truncate -s ", slices.Concat(whole, []byte("BZh01234567890"))},
		{"stream after zeros", "bzip2_trailing_data", "truncate -s ", slices.Concat(whole, make([]byte, 5000), whole)},
		{"stream without blocks", "bzip2_corrupt", "no block starts", slices.Concat(whole, []byte("BZh91234567890"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			_, err := read(t, bytes.NewReader(test.packed), large)
			if test.code == "bzip2_" { // whichever of them the damage makes
				wantRefusal(t, err, refusalCode(err), wording, test.part)
			} else {
				wantRefusal(t, err, test.code, wording, test.part)
			}
			settle(t, before)
			if _, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(test.packed))); err == nil {
				t.Error("the standard library takes it")
			}
		})
	}
}

func TestBzip2Truncated(t *testing.T) {
	disk := diskBytes(t, 1_200_000)
	for _, packed := range [][]byte{bzipped(t, disk[:3000]), bzipped(t, disk)} {
		for cut := 3; cut < len(packed); cut++ {
			if cut > 120 && cut < len(packed)-20 && cut%(len(packed)/20) != 0 {
				continue
			}
			got, err := read(t, bytes.NewReader(packed[:cut]), large)
			wantRefusal(t, err, "bzip2_truncated", "We had a problem decompressing your file. ", fmt.Sprintf("after %d compressed bytes", cut), "bzip2 -t")
			if !bytes.HasPrefix(disk, got) {
				t.Fatalf("cut at %d: wrong bytes", cut)
			}
		}
	}
}

// TestBzip2Memory expands blocks to 45 MB each.
func TestBzip2Memory(t *testing.T) {
	bomb := bytes.Repeat(bzipped(t, make([]byte, 45_000_000)), 6)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := int64(0)
	withCores(t, 2, func() {
		d, err := NewReader(t.Context(), bytes.NewReader(bomb), large)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if n, err = io.Copy(io.Discard, d); err != nil {
			t.Fatal(err)
		}
	})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; n != 270_000_000 || got > 64<<20 {
		t.Errorf("%d bytes came out, for which %d bytes of memory were taken", n, got)
	}
}
