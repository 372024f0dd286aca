package inflate

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"math/rand/v2"
	"testing"
)

var levels = []int{flate.NoCompression, flate.HuffmanOnly, flate.BestSpeed, flate.BestCompression}

// texts are data that between them use every kind of block, codeword and match.
func texts() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var words, mixed, skewed bytes.Buffer
	for words.Len() < 1<<18 {
		fmt.Fprintf(&words, "line %d of %x\n", rng.IntN(5000), rng.Uint32()>>uint(rng.IntN(32)))
	}
	for mixed.Len() < 1<<18 {
		switch at := rng.IntN(150_000); rng.IntN(3) {
		case 0:
			mixed.Write(noise[at:][:rng.IntN(40_000)])
		case 1:
			mixed.Write(words.Bytes()[at:][:rng.IntN(4000)])
		case 2:
			mixed.Write(bytes.Repeat(noise[at:][:1+rng.IntN(20)], rng.IntN(300)))
		}
	}
	// Each byte half as frequent as the one before: codewords as long as there are.
	for sym := range 18 {
		skewed.Write(bytes.Repeat([]byte{byte(sym)}, 1<<(17-sym)))
	}
	shuffled := skewed.Bytes()
	rng.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
	return map[string][]byte{
		"nothing": nil, "byte": {7}, "zeros": make([]byte, 1<<18), "noise": noise,
		"words": words.Bytes(), "mixed": mixed.Bytes(), "skewed": shuffled,
	}
}

func deflate(t testing.TB, text []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestInflate(t *testing.T) {
	for name, text := range texts() {
		for _, level := range levels {
			packed := deflate(t, text, level)
			for _, spare := range []int{0, 1, 1000} {
				dst := make([]byte, len(text)+spare)
				n, read, err := Inflate(dst, append(packed[:len(packed):len(packed)], "what follows"...))
				if err != nil || read != len(packed) || !bytes.Equal(dst[:n], text) {
					t.Errorf("%s at level %d with %d to spare: %d bytes of %d from %d of %d, %v", name, level, spare, n, len(text), read, len(packed), err)
				}
			}
		}
	}
}

func TestInflateFull(t *testing.T) {
	for name, text := range texts() {
		for _, level := range levels {
			packed := deflate(t, text, level)
			for _, short := range []int{1, 2, 100, len(text) / 2, len(text)} {
				if short > len(text) || short == 0 {
					continue
				}
				dst := make([]byte, len(text)-short)
				n, _, err := Inflate(dst, packed)
				if !errors.Is(err, ErrFull) || n != len(dst) || !bytes.Equal(dst, text[:n]) {
					t.Errorf("%s at level %d, %d short: %d bytes of %d, %v", name, level, short, n, len(dst), err)
				}
			}
		}
	}
}

func TestInflateTruncated(t *testing.T) {
	text := texts()["mixed"][:10_000]
	for _, level := range levels {
		packed := deflate(t, text, level)
		dst := make([]byte, len(text))
		for cut := range packed {
			if cut > 600 && cut < len(packed)-600 && cut%97 != 0 {
				continue
			}
			n, _, err := Inflate(dst, packed[:cut])
			if !errors.Is(err, ErrTruncated) || !bytes.Equal(dst[:n], text[:n]) {
				t.Fatalf("level %d cut at %d of %d: %d bytes, %v", level, cut, len(packed), n, err)
			}
		}
	}
}

// pieces decodes a stream given in pieces of random size into a window of random size.
func pieces(packed []byte, rng *rand.Rand) ([]byte, error) {
	const history = 32 << 10
	var d Decoder
	var out []byte
	window := make([]byte, history+MinRoom+rng.IntN(1<<rng.IntN(20)))
	at, given := 0, 0
	for {
		given = min(len(packed), given+rng.IntN(1<<rng.IntN(14)))
		n, read, err := d.Next(window, at, packed[:given], given == len(packed))
		out = append(out, window[at:at+n]...)
		packed, given = packed[read:], given-read
		if err != nil {
			return out, err
		}
		if at += n; at > history {
			at = copy(window, window[at-history:at])
		}
	}
}

func TestNext(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, text := range texts() {
		for _, level := range levels {
			packed := deflate(t, text, level)
			for range 3 {
				if out, err := pieces(packed, rng); err != io.EOF || !bytes.Equal(out, text) {
					t.Fatalf("%s at level %d: %d bytes of %d, %v", name, level, len(out), len(text), err)
				}
			}
			if len(packed) > 1 {
				cut := rng.IntN(len(packed))
				if out, err := pieces(packed[:cut], rng); !errors.Is(err, ErrTruncated) || !bytes.HasPrefix(text, out) {
					t.Fatalf("%s at level %d cut at %d: %d bytes, %v", name, level, cut, len(out), err)
				}
			}
		}
	}
}

// bitString is a stream written bit by bit; codewords and header fields as RFC 1951 shows them, lowest bit first.
type bitString struct {
	b []byte
	n int
}

func (s *bitString) add(v uint, n int) *bitString {
	for i := range n {
		if s.n%8 == 0 {
			s.b = append(s.b, 0)
		}
		s.b[s.n/8] |= byte(v>>i&1) << (s.n % 8)
		s.n++
	}
	return s
}

// dynamic starts a last block of 257+literals and 1+distances symbols; lens are the lengths of the code of lengths.
func dynamic(literals, distances uint, lens ...uint) *bitString {
	s := new(bitString).add(1, 1).add(2, 2).add(literals, 5).add(distances, 5).add(uint(len(lens)-4), 4)
	for _, l := range lens {
		s.add(l, 3)
	}
	return s
}

func TestCorrupt(t *testing.T) {
	// In the code of lengths below, 0 is the codeword 0, 1 is 10 and 18 is 11.
	codes := func() *bitString {
		return dynamic(0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2)
	}
	zeros := func(s *bitString, n uint) *bitString { return s.add(3, 2).add(n-11, 7) }
	tests := []struct {
		name   string
		stream *bitString
		want   error
	}{
		{"type 3", new(bitString).add(1, 1).add(3, 2), CorruptError("a block of a type that does not exist")},
		{"stored length", new(bitString).add(1, 8).add(5, 16).add(5, 16), CorruptError("a stored block whose length and its complement differ")},
		{"287 symbols", dynamic(30, 0, 1, 1, 0, 0), CorruptError("a code of more symbols than exist")},
		{"31 distances", dynamic(0, 30, 1, 1, 0, 0), CorruptError("a code of more symbols than exist")},
		{"code of lengths overfull", dynamic(0, 0, 1, 1, 1, 0), errLengths},
		{"code of lengths with a gap", dynamic(0, 0, 2, 2, 2, 0), errLengths},
		{"repeat of nothing", dynamic(0, 0, 1, 1, 0, 0).add(0, 1).add(0, 2).add(0, 16), errLengths},
		{"repeat past the end", zeros(zeros(codes(), 138), 138).add(0, 16), errLengths},
		{"no end of block", zeros(zeros(codes(), 138), 120).add(0, 16), CorruptError("a block without an end")},
		{"codeword of nothing", zeros(zeros(codes(), 138), 118).add(1, 2).add(0, 1).add(1, 16), errCodeword},
		{"fixed length 286", new(bitString).add(1, 1).add(1, 2).add(0b01100011, 8).add(0, 16), errCodeword},
		{"fixed distance 30", new(bitString).add(1, 1).add(1, 2).add(0b00001100, 8).add(0b1000000, 7).add(0b01111, 5).add(0, 32), errCodeword},
		{"match before the data", new(bitString).add(1, 1).add(1, 2).add(0b00001100, 8).add(0b1000000, 7).add(0b01000, 5).add(0, 32), errFar},
	}
	for _, test := range tests {
		for _, tail := range []int{0, 100} { // the second is decoded by the fast loop
			src := append(test.stream.b, make([]byte, tail)...)
			if _, _, err := Inflate(make([]byte, 1000), src); err != test.want {
				t.Errorf("%s, %d bytes more: %v, want %v", test.name, tail, err, test.want)
			}
			if _, err := io.ReadAll(flate.NewReader(bytes.NewReader(src))); err == nil {
				t.Errorf("%s, %d bytes more: the standard library takes it", test.name, tail)
			}
		}
	}
}

func TestZlib(t *testing.T) {
	text := texts()["words"]
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	with := func(at int, v byte) []byte {
		c := bytes.Clone(b.Bytes())
		c[(at+len(c))%len(c)] ^= v
		return c
	}
	dictionary := with(1, 0x20)
	dictionary[1] &^= 31
	dictionary[1] += byte(31 - (uint(dictionary[0])<<8|uint(dictionary[1]))%31)
	tests := []struct {
		name string
		src  []byte
		want error
	}{
		{"whole", b.Bytes(), nil},
		{"no header", b.Bytes()[:1], ErrTruncated},
		{"method", with(0, 1), CorruptError("no zlib header")},
		{"window", with(0, 0x80), CorruptError("no zlib header")},
		{"check bits", with(1, 1), CorruptError("no zlib header")},
		{"dictionary", dictionary, CorruptError("a preset dictionary")},
		{"checksum", with(-1, 1), CorruptError("data that its checksum does not match")},
		{"checksum cut", b.Bytes()[:b.Len()-1], ErrTruncated},
		{"data cut", b.Bytes()[:b.Len()/2], ErrTruncated},
	}
	for _, test := range tests {
		dst := make([]byte, len(text))
		n, err := Zlib(dst, test.src)
		if err != test.want || (err == nil && !bytes.Equal(dst[:n], text)) {
			t.Errorf("%s: %d bytes, %v; want %v", test.name, n, err, test.want)
		}
	}
	if n, err := Zlib(make([]byte, 10), b.Bytes()); n != 10 || err != ErrFull {
		t.Errorf("into 10 bytes: %d, %v; want 10, %v", n, err, ErrFull)
	}
}

func TestAdler(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	full := bytes.Repeat([]byte{0xff}, 300_000)
	noise := texts()["noise"]
	for range 2000 {
		n := rng.IntN(1 << rng.IntN(18))
		for _, text := range [][]byte{full[:n], noise[:n]} {
			if got, want := adler(text), adler32.Checksum(text); got != want {
				t.Fatalf("%d bytes: %08x, want %08x", n, got, want)
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	for _, text := range texts() {
		for _, level := range levels {
			f.Add(deflate(f, text[:min(len(text), 3000)], level), uint64(level))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, seed uint64) {
		const room = 1 << 18
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(src)), room))
		dst := make([]byte, room)
		n, _, err := Inflate(dst, src)
		switch {
		case len(want) == room && (err == nil || err == ErrFull):
			wantErr, err = nil, nil
		case (err == nil) != (wantErr == nil):
			t.Fatalf("%v after %d bytes; the standard library: %v after %d", err, n, wantErr, len(want))
		}
		if err == nil && !bytes.Equal(dst[:n], want) {
			t.Fatalf("%d bytes that differ from the standard library's %d", n, len(want))
		}
		if err == nil && len(want) < room {
			got, err := pieces(src, rand.New(rand.NewPCG(seed, 5)))
			if err != io.EOF || !bytes.Equal(got, want) {
				t.Fatalf("in pieces: %d bytes of %d, %v", len(got), len(want), err)
			}
		}
	})
}
