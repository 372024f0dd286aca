package raw

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"ingot/internal/refusal"
)

func stream(t testing.TB, b []byte, size int64) *Stream {
	t.Helper()
	s, err := NewStream(bytes.NewReader(b), b[:min(len(b), HeadSize)], size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// follow reads a stream as an import does: pieces of up to 1 MiB, gathered from several ranges, go to goroutines.
func follow(s *Stream) ([]byte, error) {
	type piece struct{ from, to int64 }
	const segment = 1 << 20
	var mu sync.Mutex
	var got []byte
	var failed error
	read := func(p piece) {
		b := make([]byte, p.to-p.from)
		_, err := s.ReadAt(b, p.from)
		mu.Lock()
		defer mu.Unlock()
		if int64(len(got)) < p.to {
			got = append(got, make([]byte, p.to-int64(len(got)))...)
		}
		copy(got[p.from:], b)
		if err != nil && err != io.EOF {
			failed = err
		}
	}
	work := make(chan []piece)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for pieces := range work {
				for _, p := range pieces {
					read(p)
				}
			}
		})
	}
	err := walk(s, func(pieces [][2]int64) {
		var out []piece
		for _, p := range pieces {
			out = append(out, piece{p[0], p[1]})
		}
		work <- out
	}, segment)
	close(work)
	wg.Wait()
	if err == nil {
		err = failed
	}
	if err == nil {
		got = append(got, make([]byte, s.Size()-int64(len(got)))...)
	}
	return got, err
}

// walk gathers the ranges of a stream into segments.
func walk(s *Stream, emit func([][2]int64), segment int64) error {
	var pieces [][2]int64
	var used int64
	for off := int64(0); ; {
		start, end, err := s.NextData(off)
		if err == io.EOF {
			emit(pieces)
			return nil
		}
		if err != nil {
			return err
		}
		if start < off || end <= start || end > s.Size() {
			return fmt.Errorf("NextData(%d) = [%d, %d) on a disk of %d", off, start, end, s.Size())
		}
		for at := start; at < end; {
			to := min(end, at+segment-used)
			pieces = append(pieces, [2]int64{at, to})
			used += to - at
			if at = to; used == segment {
				emit(pieces)
				pieces, used = nil, 0
			}
		}
		off = end
	}
}

func TestStream(t *testing.T) {
	for _, size := range []int{512, 513, 4096, 300_001, 1 << 20, 20<<20 + 1536} {
		b := noise(size, uint64(size))
		want := append(bytes.Clone(b), make([]byte, -size&511)...)
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "half": iotest.HalfReader(bytes.NewReader(b)),
			"data with the error": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			for _, known := range []int64{-1, int64(size)} {
				s, err := NewStream(r, b[:min(size, HeadSize)], known)
				if err != nil {
					t.Fatal(err)
				}
				got, err := follow(s)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %s, size %d: %d bytes differ or %v", size, name, known, len(got), err)
				}
				if s.Size() != int64(len(want)) {
					t.Errorf("Size() = %d, want %d", s.Size(), len(want))
				}
				if _, _, err := s.NextData(s.Size()); err != io.EOF {
					t.Errorf("NextData after the end: %v", err)
				}
				if n, err := s.ReadAt(make([]byte, 1), s.Size()); n != 0 || err != io.EOF {
					t.Errorf("ReadAt after the end = %d, %v", n, err)
				}
				r = bytes.NewReader(b)
			}
		}
	}
}

// TestStreamSkipsZeros: the ranges are the pages that hold something, and nothing else.
func TestStreamSkipsZeros(t *testing.T) {
	b := withMBR(make([]byte, 3<<20))
	b[1<<20+5000] = 1
	b[2<<20-1] = 1
	b[2<<20] = 1
	b[len(b)-1] = 1
	s := stream(t, b, -1)
	want := [][2]int64{{0, 4096}, {1<<20 + 4096, 1<<20 + 8192}, {2<<20 - 4096, 2 << 20}, {2 << 20, 2<<20 + 4096}, {3<<20 - 4096, 3 << 20}}
	var got [][2]int64
	if err := walk(s, func(p [][2]int64) { got = append(got, p...) }, 1<<20); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ranges %v, want %v", got, want)
	}
}

// TestStreamMemory leaves little unread, spread over much of the disk: blocks hold nothing but data.
func TestStreamMemory(t *testing.T) {
	b := withMBR(make([]byte, 64<<20))
	for at := 0; at < len(b); at += 256 << 10 {
		b[at+100] = 1
	}
	s := stream(t, b, -1)
	ranges := 0
	for off := int64(0); ; ranges++ {
		_, end, err := s.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		off = end
	}
	if ranges != 256 || s.window.blocks > 2 {
		t.Errorf("%d ranges of a page unread are held in %d blocks, want 256 in 2 at most", ranges, s.window.blocks)
	}
	full := stream(t, bytes.Repeat(withMBR(bytes.Repeat([]byte("x"), 512)), 64<<11), -1)
	if _, err := follow(full); err != nil {
		t.Fatal(err)
	}
	if full.window.blocks > 12 {
		t.Errorf("%d blocks for three readers of 1 MiB", full.window.blocks)
	}
}

func TestStreamMisuse(t *testing.T) {
	b := noise(8<<20, 9)
	s := stream(t, b, -1)
	first, end, err := s.NextData(0)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, end-first)
	if _, err := s.ReadAt(p, end); !errors.Is(err, errAhead) {
		t.Errorf("ReadAt ahead of NextData: %v", err)
	}
	if _, err := s.ReadAt(p, -1); err == nil {
		t.Error("ReadAt before the start succeeded")
	}
	if _, err := s.ReadAt(p[:100], first); err != nil {
		t.Error(err)
	}
	if _, err := s.ReadAt(p, first); !errors.Is(err, errGone) {
		t.Errorf("ReadAt of more than is left: %v", err)
	}
	if _, err := s.ReadAt(p[100:], first+100); err != nil {
		t.Error(err)
	}
	if _, err := s.ReadAt(p, first); !errors.Is(err, errGone) {
		t.Errorf("ReadAt of what was read: %v", err)
	}
	if _, _, err := s.NextData(first); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("NextData backwards: %v", err)
	}
	if _, _, err := s.NextData(4 << 20); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("NextData past data: %v", err)
	}
}

func TestStreamHoles(t *testing.T) {
	b := withMBR(make([]byte, 1<<20))
	b[100<<10], b[300<<10] = 1, 1
	s := stream(t, b, -1)
	if err := walk(s, func([][2]int64) {}, 1<<20); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<20)
	if n, err := s.ReadAt(got, 0); n != len(got) || err != nil || !bytes.Equal(got, b) {
		t.Errorf("ReadAt of all = %d, %v", n, err)
	}
}

// TestStreamIsNotKept: a walk that reads nothing ends before it takes all memory.
func TestStreamIsNotKept(t *testing.T) {
	s := stream(t, withMBR(bytes.Repeat([]byte("x"), 8<<20)), -1)
	s.window.limit = 4
	if err := walk(s, func([][2]int64) {}, 1<<20); !errors.Is(err, errUnread) {
		t.Errorf("a walk of 8 MiB with 4 MiB of memory: %v", err)
	}
}

func TestStreamEnds(t *testing.T) {
	b := noise(3<<20, 10)
	broken := errors.New("broken")
	gpt := withGPT(noise(3<<20, 11), 512, 3<<11)
	for _, tc := range []struct {
		name  string
		r     io.Reader
		head  []byte
		size  int64
		code  string // of a refusal
		cause error
	}{
		{"shorter than announced", bytes.NewReader(b), b, 4 << 20, "raw_size", nil},
		{"longer than announced", bytes.NewReader(b), b, 2 << 20, "raw_size", nil},
		{"longer by less than a sector", bytes.NewReader(b), b, 3<<20 - 1, "raw_size", nil},
		{"table needs more", bytes.NewReader(gpt), gpt, -1, "raw_truncated", nil},
		{"reader breaks", io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken)), b, -1, "", broken},
		{"download breaks", io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF)), b, -1, "", io.ErrUnexpectedEOF},
		{"an end in disguise", io.MultiReader(bytes.NewReader(b), iotest.ErrReader(fmt.Errorf("lost: %w", io.EOF))), b, -1, "", io.ErrUnexpectedEOF},
		{"nothing comes", io.MultiReader(bytes.NewReader(b), idle{}), b, -1, "", io.ErrNoProgress},
	} {
		s, err := NewStream(tc.r, tc.head[:HeadSize], tc.size)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		_, err = follow(s)
		if r := refusal.As(err); tc.code != "" && (r == nil || r.Code != tc.code) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.code)
		}
		if tc.cause != nil && (!errors.Is(err, tc.cause) || refusal.As(err) != nil) || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.cause)
		}
		if _, _, again := s.NextData(s.Size()); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: then %v", tc.name, again)
		}
	}
	if _, err := NewStream(bytes.NewReader(gpt), gpt[:HeadSize], 3<<20); code(err) != "raw_truncated" {
		t.Errorf("a size that the table contradicts: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }
