package decompress

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ingot/internal/refusal"
)

// fuzzLimit bounds what a fuzzed file may expand to.
const fuzzLimit = 4 << 20

// drain reads a decoder, past the recognition of further wrappers, up to fuzzLimit.
func drain(t testing.TB, make func(context.Context, io.Reader) decoder, src []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(io.EOF)
	d := &Reader{limit: fuzzLimit + 1, cancel: cancel, known: true, decoder: make(ctx, bytes.NewReader(src))}
	return io.ReadAll(d)
}

// differs compares with what the standard library makes of the same file. It may refuse what is taken here, but
// not the other way round.
func differs(t *testing.T, got []byte, err error, oracle io.Reader, oracleErr error) error {
	if err != nil && refusal.As(err) == nil {
		t.Fatalf("%v is no refusal", err)
	}
	if oracleErr != nil {
		return nil
	}
	want, oracleErr := io.ReadAll(io.LimitReader(oracle, fuzzLimit+1))
	switch {
	case len(want) > fuzzLimit && refusalCode(err) != "image_too_large":
		return fmt.Errorf("%v, and the standard library goes on for ever", err)
	case len(want) > fuzzLimit, oracleErr != nil:
		return nil
	case err != nil:
		return fmt.Errorf("%v, and the standard library takes it: %d bytes", err, len(want))
	case !bytes.Equal(got, want):
		return fmt.Errorf("%d bytes that differ from the standard library's %d", len(got), len(want))
	}
	return nil
}

func FuzzGzip(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	text := slices.Concat(noise(rng, 300), bytes.Repeat([]byte("text "), 500), make([]byte, 3000))
	f.Add(gzipped(f, text))
	f.Add(gzipped(f, nil))
	f.Add(slices.Concat(gzipped(f, text[:100]), gzipped(f, text), make([]byte, 100)))
	f.Add(member(f, gzipHeaderCRC|gzipExtra|gzipName|gzipComment, "\x04\x000123name\x00comment\x00", text))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := drain(t, func(ctx context.Context, r io.Reader) decoder { return newGzip(ctx, r) }, src)
		oracle, oracleErr := gzip.NewReader(bytes.NewReader(src))
		// The standard library does not look at the reserved flags, which RFC 1952 (2.3.1.2) says must be.
		if err := differs(t, got, err, oracle, oracleErr); err != nil && !hasReservedFlags(err) {
			t.Fatal(err)
		}
	})
}

func hasReservedFlags(err error) bool {
	return strings.Contains(err.Error(), "flags set that are reserved")
}

func FuzzBzip2(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	text := slices.Concat(noise(rng, 300), bytes.Repeat([]byte("text "), 500), make([]byte, 3000))
	plain := right(f, bytesBlock(symbols(rng, 300)))
	hidden := hiddenBlock([]byte{19, 8, 27, 6, 15, 4, 33, 2})
	bits := new(bitWriter)
	hidden.write(bits)
	f.Add(stream('9', plain, right(f, bytesBlock(bits.add(0, 8).b)), plain))
	f.Add(stream('1', right(f, hidden)))
	f.Add(slices.Concat(bzipped(f, text), bzipped(f, nil), bzipped(f, text[:50]), make([]byte, 50)))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := drain(t, func(ctx context.Context, r io.Reader) decoder { return newBzip2(ctx, r) }, src)
		// The standard library reads a code with gaps otherwise than bzip2 does.
		if err := differs(t, got, err, bzip2.NewReader(bytes.NewReader(src)), nil); err != nil && !hasGaps(t, src) {
			t.Fatal(err)
		}
	})
}

// hasGaps tells that some block, or what looks like one, has a code with codewords that nothing uses.
func hasGaps(t *testing.T, src []byte) (gaps bool) {
	w := newBzip2Worker()
	window := newWindow(t.Context(), bytes.NewReader(src), len(src)+1)
	newScanner(window).run(func(bit int64) bool {
		if w.in.seek(window, bit, nil) == nil && w.header() == nil {
			for _, code := range w.codes[:w.used] {
				gaps = gaps || code.limit[maxWord] != 1<<maxWord
			}
		}
		return true
	})
	return gaps
}
