package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Chunks sees what Write would keep: the reference's cuts, with their bytes and digests.
func TestChunksAreThoseOfAWrite(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 12))
		guest := sparseGuest(rng)
		var got []span
		err := Chunks(t.Context(), &rangesDisk{bytes.NewReader(guest), randomMap(guest, rng)}, func(off int64, data []byte, digest Digest) error {
			got = append(got, span{off, int64(len(data))})
			if !bytes.Equal(data, guest[off:off+int64(len(data))]) || digest != sha256.Sum256(data) {
				t.Errorf("seed %d: the chunk at %d has other bytes", seed, off)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(reference(guest), got, cmp.AllowUnexported(span{})); diff != "" {
			t.Fatalf("seed %d, guest of %d:\n%s", seed, len(guest), diff)
		}
	}
}

func TestChunksEndsWithTheFirstError(t *testing.T) {
	guest := make([]byte, 40<<20)
	for i := range guest {
		guest[i] = byte(i / 977)
	}
	disk := &rangesDisk{bytes.NewReader(guest), [][2]int64{{0, int64(len(guest))}}}
	full := errors.New("full")
	if err := Chunks(t.Context(), disk, func(int64, []byte, Digest) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Chunks(ctx, disk, func(int64, []byte, Digest) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	short := &rangesDisk{bytes.NewReader(guest[:1<<20]), [][2]int64{{0, 2 << 20}}}
	if err := Chunks(t.Context(), short, func(int64, []byte, Digest) error { return nil }); err == nil {
		t.Error("a map past the end of the disk")
	}
}
