package decompress

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"ingot/internal/refusal"
)

// panics is a source that panics after some bytes.
type panics struct{ before io.Reader }

func (p panics) Read(b []byte) (int, error) {
	if n, _ := p.before.Read(b); n > 0 {
		return n, nil
	}
	panic("index out of range")
}

// wantPanic checks that err tells of a panic, and blames nobody's file for it.
func wantPanic(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "panic") || refusal.As(err) != nil {
		t.Errorf("a panic became %v", err)
	}
}

func TestSourcePanics(t *testing.T) {
	for name, head := range map[string][]byte{
		"plain": bytes.Repeat([]byte("plain"), HeadSize),
		"gzip":  append([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"), bytes.Repeat([]byte("name"), HeadSize)...),
		"bzip2": stream('9', right(t, bytesBlock(symbols(rand.New(rand.NewPCG(1, 1)), 100_000))))[:20_000],
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, panics{bytes.NewReader(head)}, large)
			wantPanic(t, err)
		})
	}
}

// TestDecoderPanics has decoders without a source, which they cannot do without.
func TestDecoderPanics(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := &gzipFile{outlet: newOutlet(ctx)}
	go g.decodeAll()
	_, err := g.next()
	wantPanic(t, err)

	f := &bzip2File{ctx: ctx, guesses: make(chan *block)}
	f.guess()
	if _, more := <-f.guesses; more {
		t.Error("a scanner that panicked found something")
	}
	b := newBlock(0)
	if f.decode(newBzip2Worker(), b) {
		t.Error("a worker that panicked is kept")
	}
	wantPanic(t, b.err)
	if _, more := <-b.pieces; more {
		t.Error("a block that is none has text")
	}
}

// TestExpanderPanics has a block that was read well, and nothing to ask whether its text is still wanted.
func TestExpanderPanics(t *testing.T) {
	file := stream('9', right(t, bytesBlock(symbols(rand.New(rand.NewPCG(2, 1)), 50_000))))
	f := &bzip2File{src: newWindow(t.Context(), bytes.NewReader(file), 1<<20)}
	b := newBlock(4 * 8)
	if f.decode(newBzip2Worker(), b) {
		t.Error("a worker that panicked is kept")
	}
	f.ctx, f.current = t.Context(), b
	_, err := f.next()
	wantPanic(t, err)
}
