package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"ingot/internal/refusal"
)

// content has runs of data and runs of zeros, with edges at no page's boundary.
func content(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for off := 0; off < n; {
		run := min(1+rng.IntN(200_000), n-off)
		if rng.IntN(2) == 0 {
			for i := range run {
				b[off+i] = byte(rng.Uint32())
			}
		}
		off += run
	}
	return b
}

// only hides everything but Read.
type only struct{ io.Reader }

func open(t testing.TB, r io.Reader, opt Options) *Spool {
	t.Helper()
	s, err := New(t.TempDir(), r, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// blocks is the space that the spool holds on the disk and in memory, in bytes.
func blocks(t testing.TB, s *Spool) int64 {
	t.Helper()
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return inFile(t, s) + int64(len(s.memory.pieces))*extent
}

// inFile is the space that the file holds on the disk, in bytes.
func inFile(t testing.TB, s *Spool) int64 {
	t.Helper()
	info, err := s.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestReadWhileItArrives(t *testing.T) {
	body := content(5<<20+123, 1)
	for name, stream := range map[string]func() io.Reader{
		"large reads": func() io.Reader { return only{bytes.NewReader(body)} },
		"WriterTo":    func() io.Reader { return bytes.NewReader(body) },
		"half reads":  func() io.Reader { return iotest.HalfReader(bytes.NewReader(body)) },
		"data and EOF": func() io.Reader {
			return iotest.DataErrReader(bytes.NewReader(body))
		},
		"odd pieces": func() io.Reader { return &pieces{r: bytes.NewReader(body), rng: rand.New(rand.NewPCG(2, 2))} },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, stream(), Options{})
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() { readAtRandom(t, s, body, uint64(w)) })
			}
			wg.Wait()
			if n, err := s.Wait(t.Context()); n != int64(len(body)) || err != nil {
				t.Errorf("Wait: %d, %v", n, err)
			}
			if n, done := s.Size(); n != int64(len(body)) || !done {
				t.Errorf("Size: %d, %v", n, done)
			}
			got, err := io.ReadAll(io.NewSectionReader(s, 0, math.MaxInt64))
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("read back %d bytes, %v", len(got), err)
			}
		})
	}
}

// pieces reads a few bytes to many at a time.
type pieces struct {
	r   io.Reader
	rng *rand.Rand
}

func (p *pieces) Read(b []byte) (int, error) {
	return p.r.Read(b[:min(len(b), 1+p.rng.IntN(1<<p.rng.IntN(19)))])
}

func readAtRandom(t *testing.T, s *Spool, body []byte, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	buf := make([]byte, 1<<19)
	for range 100 {
		off := rng.Int64N(int64(len(body)) + 1)
		b := buf[:rng.IntN(1<<rng.IntN(20))]
		want := body[off:min(int64(len(body)), off+int64(len(b)))]
		n, err := s.ReadAt(b, off)
		if n != len(want) || (n == len(b)) != (err == nil) || (err != nil && err != io.EOF) || !bytes.Equal(b[:n], want) {
			t.Errorf("ReadAt(%d bytes at %d) = %d, %v, want %d", len(b), off, n, err, len(want))
			return
		}
	}
}

func TestEdges(t *testing.T) {
	for _, size := range []int{0, 1, block - 1, block, block + 1, step, step + 1, extent - 1, extent, extent + 1, 4*extent + 1} {
		body := bytes.Repeat([]byte{7}, size)
		s := open(t, bytes.NewReader(body), Options{})
		for _, test := range []struct {
			n    int
			off  int64
			want int
			err  error
		}{
			{0, 0, 0, nil}, {0, math.MaxInt64, 0, nil}, {1, int64(size), 0, io.EOF}, {1, math.MaxInt64, 0, io.EOF}, {size + 5, 0, size, io.EOF}, {size, 0, size, nil},
		} {
			n, err := s.ReadAt(make([]byte, test.n), test.off)
			if n != test.want || err != test.err {
				t.Errorf("size %d: ReadAt(%d bytes at %d) = %d, %v; want %d, %v", size, test.n, test.off, n, err, test.want, test.err)
			}
		}
		if _, err := s.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("ReadAt before the start: %v", err)
		}
	}
}

// A read of what has arrived returns at once, one of the next byte only when it comes.
func TestReadWaits(t *testing.T) {
	r, w := io.Pipe()
	s := open(t, r, Options{Interrupt: func() { r.Close() }})
	if n, done := s.Size(); n != 0 || done {
		t.Errorf("Size at first: %d, %v", n, done)
	}
	io.WriteString(w, "0123456789")
	buf := make([]byte, 10)
	if n, err := s.ReadAt(buf, 0); n != 10 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	got := make(chan string)
	go func() {
		b := make([]byte, 4)
		n, err := s.ReadAt(b, 8)
		got <- fmt.Sprint(string(b[:n]), err)
	}()
	select {
	case early := <-got:
		t.Fatalf("a read returned before its bytes had come: %s", early)
	case <-time.After(20 * time.Millisecond):
	}
	io.WriteString(w, "ab")
	if g := <-got; g != "89ab<nil>" {
		t.Errorf("%s", g)
	}
	if s.Arrived() != 12 {
		t.Errorf("%d bytes arrived", s.Arrived())
	}
	go s.ReadAt(make([]byte, 1), 1000)
	w.Close()
	if n, err := s.Wait(t.Context()); n != 12 || err != nil {
		t.Errorf("Wait: %d, %v", n, err)
	}
}

func TestFailedStream(t *testing.T) {
	body := content(300_000, 5)
	for _, cause := range []error{io.ErrUnexpectedEOF, refusal.Passing(io.ErrUnexpectedEOF, "source_interrupted", "gone"), context.Canceled} {
		s := open(t, io.MultiReader(only{bytes.NewReader(body)}, iotest.ErrReader(cause)), Options{})
		n, err := s.Wait(t.Context())
		if n != int64(len(body)) || err == nil {
			t.Fatalf("Wait: %d, %v", n, err)
		}
		if _, done := s.Size(); done {
			t.Error("a stream that failed is done")
		}
		got := make([]byte, len(body)+1)
		n2, err := s.ReadAt(got, 0)
		if n2 != len(body) || !bytes.Equal(got[:n2], body) {
			t.Errorf("%d bytes before the error", n2)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v can be taken for the end of the file", err)
		}
		if errors.Is(cause, context.Canceled) != errors.Is(err, context.Canceled) {
			t.Errorf("%v hides its cause", err)
		}
		if want, r := refusal.As(cause), refusal.As(err); r != want {
			t.Errorf("the refusal of %v is %v, want %v", err, r, want)
		}
		if n, err := s.ReadAt(got[:len(body)], 0); n != len(body) || err != nil {
			t.Errorf("what had arrived reads as %d, %v", n, err)
		}
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("index out of range") }

func TestPanicOfStream(t *testing.T) {
	s := open(t, panics{}, Options{})
	if _, err := s.Wait(t.Context()); err == nil {
		t.Error("a stream that panicked ended well")
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	r, _ := io.Pipe()
	s := open(t, r, Options{Interrupt: func() { r.Close() }})
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the lease is lost")
	cancel(cause)
	if _, err := s.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestClose(t *testing.T) {
	for name, interrupt := range map[string]bool{"waits for the stream": true, "leaves the stream": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r, w := io.Pipe()
			defer r.Close()
			var opt Options
			if interrupt {
				opt.Interrupt = func() { r.CloseWithError(errors.New("interrupted")) }
			}
			s, err := New(dir, r, opt)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, "some")
			ended := make(chan error)
			for range 3 {
				go func() { _, err := s.ReadAt(make([]byte, 1), 100); ended <- err }()
			}
			go func() { _, err := s.Wait(context.Background()); ended <- err }()
			time.Sleep(5 * time.Millisecond)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			for range 4 {
				if err := <-ended; !errors.Is(err, os.ErrClosed) {
					t.Errorf("a wait ended with %v", err)
				}
			}
			for _, off := range []int64{0, 100} {
				if _, err := s.ReadAt(make([]byte, 1), off); !errors.Is(err, os.ErrClosed) {
					t.Errorf("a read after Close: %v", err)
				}
			}
			if interrupt {
				select {
				case <-s.stopped:
				default:
					t.Error("Close did not wait for the stream's last Read")
				}
			}
			s.Release(0, 4)
			if err := s.Close(); err != nil {
				t.Errorf("a second Close: %v", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// endless never ends and holds nothing but zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCloseEndsEndlessZeros(t *testing.T) {
	for range 20 {
		s := open(t, endless{}, Options{Interrupt: func() {}})
		if _, err := s.ReadAt(make([]byte, 1), 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestZerosTakeNoSpace(t *testing.T) {
	const size = 64 << 20
	s := open(t, io.LimitReader(endless{}, size), Options{})
	if n, err := s.Wait(t.Context()); n != size || err != nil {
		t.Fatal(n, err)
	}
	if held := inFile(t, s); held > 0 {
		t.Errorf("64 MiB of zeros hold %d bytes", held)
	}
	buf := bytes.Repeat([]byte{1}, 4096)
	if n, err := s.ReadAt(buf, size-4096); n != 4096 || err != nil || !isZero(buf) {
		t.Errorf("the end reads as %d, %v", n, err)
	}
}

// Every second block is zeros: only the others are held, and all read back.
func TestHolesBetweenData(t *testing.T) {
	body := bytes.Repeat(append(bytes.Repeat([]byte{5}, block), make([]byte, block)...), 1024)
	s := open(t, &pieces{r: bytes.NewReader(body), rng: rand.New(rand.NewPCG(9, 9))}, Options{})
	s.Wait(t.Context())
	got := make([]byte, len(body))
	if _, err := s.ReadAt(got, 0); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%v", err)
	}
	if held := inFile(t, s); held > int64(len(body))*5/8 {
		t.Errorf("%d bytes, half of them zeros, hold %d", len(body), held)
	}
}

func TestNamedFallback(t *testing.T) {
	dir := t.TempDir()
	f, err := createNamed(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("the file has a name: %v", left)
	}
	if _, err := createNamed(dir + "/none"); err == nil {
		t.Error("a file was made in a folder that does not exist")
	}
	if _, err := New(dir+"/none", bytes.NewReader(nil), Options{}); err == nil {
		t.Error("a spool was made in a folder that does not exist")
	}
}
