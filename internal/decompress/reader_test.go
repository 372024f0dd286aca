package decompress

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

const large = 100_000_000_000

// diskBytes are the first bytes of a disk image of so many bytes: noise, text and holes.
func diskBytes(t testing.TB, size int64) []byte {
	t.Helper()
	b, err := os.ReadFile(disktest.RandomRaw(t, size, 1))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read decompresses the whole of r.
func read(t testing.TB, r io.Reader, limit int64) ([]byte, error) {
	t.Helper()
	d, err := NewReader(t.Context(), r, limit)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return io.ReadAll(d)
}

// sources are ways in which the same bytes can arrive.
func sources(b []byte) map[string]io.Reader {
	s := map[string]io.Reader{
		"whole":         bytes.NewReader(b),
		"half":          iotest.HalfReader(bytes.NewReader(b)),
		"end with data": iotest.DataErrReader(bytes.NewReader(b)),
	}
	if len(b) < 100_000 {
		s["bytes"] = iotest.OneByteReader(bytes.NewReader(b))
	}
	return s
}

// wantRefusal checks that err is a refusal of that code, and that its text starts and goes on as wanted.
func refusalCode(err error) string {
	if r := refusal.As(err); r != nil {
		return r.Code
	}
	return ""
}

func wantRefusal(t testing.TB, err error, code string, parts ...string) {
	t.Helper()
	r := refusal.As(err)
	if r == nil {
		t.Fatalf("%v; want the refusal %s", err, code)
	}
	if r.Code != code || r.Temporary {
		t.Fatalf("%v (temporary: %v), want the code %s", r, r.Temporary, code)
	}
	for _, part := range parts {
		if !strings.Contains(r.Message, part) {
			t.Errorf("%s: %q lacks %q", code, r.Message, part)
		}
	}
}

// settle waits until no more goroutines run than before.
func settle(t testing.TB, before int) {
	t.Helper()
	for range 500 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stack := make([]byte, 1<<20)
	t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stack[:runtime.Stack(stack, true)])
}

func TestNotWrapped(t *testing.T) {
	disk := diskBytes(t, 5<<20)
	for _, size := range []int{0, 1, HeadSize - 1, HeadSize, HeadSize + 1, readAhead, len(disk)} {
		for name, src := range sources(disk[:size]) {
			d, err := NewReader(t.Context(), src, large)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(d)
			if err != nil || !bytes.Equal(got, disk[:size]) || d.Compression() != None {
				t.Errorf("%s of %d: %s, %d bytes, %v", name, size, d.Compression(), len(got), err)
			}
			if n, err := d.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%s of %d: after the end %d, %v", name, size, n, err)
			}
			d.Close()
		}
	}
}

func TestWriteTo(t *testing.T) {
	disk, wrappers := wrap(t)
	for name, wrapped := range wrappers {
		d, err := NewReader(t.Context(), bytes.NewReader(wrapped), large)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		start := make([]byte, 1000)
		if _, err := io.ReadFull(d, start); err != nil {
			t.Fatal(err)
		}
		var rest bytes.Buffer
		n, err := d.WriteTo(&rest)
		if err != nil || n != int64(len(disk)-len(start)) || !bytes.Equal(append(start, rest.Bytes()...), disk) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if d.Compression() != name {
			t.Errorf("%s: Compression() = %s", name, d.Compression())
		}
	}
}

type fullDisk struct{ left int }

func (f *fullDisk) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	f.left -= n
	if n < len(b) {
		return n, errFullDisk
	}
	return n, nil
}

var errFullDisk = errors.New("no space left")

func TestWriteToStops(t *testing.T) {
	_, wrappers := wrap(t)
	for name, wrapped := range wrappers {
		before := runtime.NumGoroutine()
		d, err := NewReader(t.Context(), bytes.NewReader(wrapped), large)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := d.WriteTo(&fullDisk{1 << 20}); n != 1<<20 || err != errFullDisk {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		d.Close()
		settle(t, before)
	}
}

// wrap returns two MiB of a disk, as they are and in every wrapper that is accepted.
func wrap(t testing.TB) ([]byte, map[string][]byte) {
	t.Helper()
	disk := diskBytes(t, 2<<20)
	return disk, map[string][]byte{None: disk, Gzip: gzipped(t, disk), Bzip2: bzipped(t, disk)}
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func bzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	return piped(t, b, "bzip2", "-9")
}

// piped returns what a tool makes of b.
func piped(t testing.TB, b []byte, name string, args ...string) []byte {
	t.Helper()
	disktest.NeedTool(t, name)
	cmd := exec.Command(name, append(args, "-c")...)
	cmd.Stdin = bytes.NewReader(b)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(name, args, err)
	}
	return out
}

func TestLimit(t *testing.T) {
	disk, wrappers := wrap(t)
	for name, wrapped := range wrappers {
		for _, limit := range []int64{1, 100, HeadSize + 1, 1 << 20, 2 << 20, 2<<20 + 1} {
			got, err := read(t, bytes.NewReader(wrapped), limit)
			if limit > int64(len(disk)) {
				if err != nil || !bytes.Equal(got, disk) {
					t.Errorf("%s below %d: %d bytes, %v", name, limit, len(got), err)
				}
				continue
			}
			wantRefusal(t, err, "image_too_large", fmt.Sprintf("must be smaller than %d bytes", limit), "qemu-img")
			if !bytes.Equal(got, disk[:limit-1]) {
				t.Errorf("%s below %d: %d bytes before the refusal", name, limit, len(got))
			}
		}
	}
	wantRefusal(t, tooLarge(large, Gzip), "image_too_large", "The image must be smaller than 100 GB after being decompressed")
}

// TestLimitStopsABomb decompresses what would go on for ever.
func TestLimitStopsABomb(t *testing.T) {
	zeros := make([]byte, 8<<20)
	for _, bomb := range [][]byte{gzipped(t, zeros), bzipped(t, zeros)} {
		n, err := NewReader(t.Context(), endless(bomb), 1<<28)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		got, err := io.Copy(io.Discard, n)
		wantRefusal(t, err, "image_too_large")
		if got != 1<<28-1 {
			t.Errorf("%d bytes", got)
		}
	}
}

// endless repeats b for ever.
func endless(b []byte) io.Reader {
	at := 0
	return readerFunc(func(p []byte) (int, error) {
		n := copy(p, b[at:])
		at = (at + n) % len(b)
		return n, nil
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestSourceFails(t *testing.T) {
	errReset := errors.New("connection reset")
	disk, wrappers := wrap(t)
	for name, wrapped := range wrappers {
		for _, cause := range []error{errReset, io.ErrUnexpectedEOF} {
			for _, at := range []int{0, 3, len(wrapped) / 2, len(wrapped)} {
				src := io.MultiReader(bytes.NewReader(wrapped[:at]), iotest.ErrReader(cause))
				got, err := read(t, src, large)
				if !errors.Is(err, cause) || refusal.As(err) != nil {
					t.Errorf("%s, at %d of %d: %v, want %v wrapped", name, at, len(wrapped), err, cause)
				}
				if !bytes.HasPrefix(disk, got) {
					t.Errorf("%s, at %d of %d: wrong bytes before the error", name, at, len(wrapped))
				}
			}
		}
	}
}

func TestSourceNeverReads(t *testing.T) {
	_, wrappers := wrap(t)
	for name, wrapped := range wrappers {
		nothing := readerFunc(func([]byte) (int, error) { return 0, nil })
		if _, err := read(t, io.MultiReader(bytes.NewReader(wrapped[:1000]), nothing), large); !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%s: %v, want %v", name, err, io.ErrNoProgress)
		}
	}
}

func TestCancel(t *testing.T) {
	_, wrappers := wrap(t)
	errStop := errors.New("the import is cancelled")
	stops := map[string]struct {
		stop func(context.CancelCauseFunc, *Reader)
		want error
	}{
		"cancel": {func(cancel context.CancelCauseFunc, _ *Reader) { cancel(errStop) }, errStop},
		"close":  {func(_ context.CancelCauseFunc, d *Reader) { d.Close() }, fs.ErrClosed},
	}
	for name, wrapped := range wrappers {
		for how, stop := range stops {
			// The source stalls in the midst; so does whoever waits for it.
			before := runtime.NumGoroutine()
			stalled, release := io.Pipe()
			ctx, cancel := context.WithCancelCause(t.Context())
			d, err := NewReader(ctx, io.MultiReader(bytes.NewReader(wrapped[:len(wrapped)/2]), stalled), large)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(50*time.Millisecond, func() { stop.stop(cancel, d) })
			if _, err := io.Copy(io.Discard, d); !errors.Is(err, stop.want) || refusal.As(err) != nil {
				t.Errorf("%s, %s: %v, want %v", name, how, err, stop.want)
			}
			release.Close()
			settle(t, before)
			cancel(nil)
		}
	}
}

// TestStopUnread stops when everything ahead is full and nobody reads.
func TestStopUnread(t *testing.T) {
	_, wrappers := wrap(t)
	before := runtime.NumGoroutine()
	for name, wrapped := range wrappers {
		d, err := NewReader(t.Context(), endless(wrapped), large)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := io.ReadFull(d, make([]byte, 1<<20)); err != nil {
			t.Fatal(name, err)
		}
		time.Sleep(50 * time.Millisecond)
		d.Close()
		d.Close()
		settle(t, before)
	}
}

// TestEndsAlone reads to the end or to an error and does not close.
func TestEndsAlone(t *testing.T) {
	_, wrappers := wrap(t)
	before := runtime.NumGoroutine()
	for name, wrapped := range wrappers {
		for _, cut := range []int{0, 5000} {
			d, err := NewReader(context.Background(), bytes.NewReader(wrapped[:len(wrapped)-cut]), large)
			if err != nil {
				t.Fatal(name, err)
			}
			if _, err := io.Copy(io.Discard, d); (err != nil) != (cut > 0 && name != None) {
				t.Errorf("%s without the last %d bytes: %v", name, cut, err)
			}
			settle(t, before)
		}
	}
}

// TestPrompt gives a file's start and expects what it decompresses to before the rest arrives.
func TestPrompt(t *testing.T) {
	disk, wrappers := wrap(t)
	for name, wrapped := range wrappers {
		stalled, release := io.Pipe()
		d, err := NewReader(t.Context(), io.MultiReader(bytes.NewReader(wrapped[:len(wrapped)-1000]), stalled), large)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1<<20)
		if _, err := io.ReadFull(d, got); err != nil || !bytes.Equal(got, disk[:len(got)]) {
			t.Errorf("%s: %v", name, err)
		}
		go func() {
			release.Write(wrapped[len(wrapped)-1000:])
			release.Close()
		}()
		rest, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(rest, disk[len(got):]) {
			t.Errorf("%s: the rest: %d bytes, %v", name, len(rest), err)
		}
		d.Close()
	}
}

func TestWindow(t *testing.T) {
	text := make([]byte, 300_000)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range text {
		text[i] = byte(rng.Uint32())
	}
	w := newWindow(t.Context(), iotest.HalfReader(bytes.NewReader(text)), 5000)
	off := 0
	for {
		n := 1 + rng.IntN(margin)
		b, last, err := w.peek(n)
		if err != nil || !bytes.Equal(b, text[off:off+len(b)]) || len(b) < min(n, len(text)-off) {
			t.Fatalf("peek(%d) at %d: %d bytes, %v", n, off, len(b), err)
		}
		if len(b) < n && !last {
			t.Fatalf("peek(%d) at %d: %d bytes that are not the last", n, off, len(b))
		}
		if last && off+len(b) != len(text) {
			t.Fatalf("peek(%d) at %d: %d bytes, falsely the last", n, off, len(b))
		}
		at := rng.IntN(len(b) + 1)
		p := make([]byte, len(b)-at)
		if k, err := w.readFull(p, int64(off+at)); err != nil || !bytes.Equal(p[:k], b[at:]) {
			t.Fatalf("readFull at %d: %d bytes, %v", off+at, k, err)
		}
		if len(b) == 0 {
			break
		}
		off += 1 + rng.IntN(len(b))
		w.release(int64(off))
		if _, err := w.readAt(make([]byte, 1), int64(off)-1); err != errPassed {
			t.Fatalf("readAt before %d: %v", off, err)
		}
	}
	if _, err := w.readAt(make([]byte, 1), int64(len(text))); err != io.EOF {
		t.Errorf("readAt at the end: %v", err)
	}
}
