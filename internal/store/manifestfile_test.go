package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// heldObject is a place with one object.
type heldObject struct {
	Objects
	bytes []byte
}

func (h heldObject) ReadAt(_ context.Context, _ string, p []byte, off int64) error {
	n, err := bytes.NewReader(h.bytes).ReadAt(p, off)
	if n < len(p) && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func TestManifestFile(t *testing.T) {
	var spans []span
	for i := range int64(2*blockRecords + 10) {
		spans = append(spans, span{off: i * maxChunk, n: 4096})
	}
	object, digest := makeManifest(t, int64(len(spans))*maxChunk, spans...)
	open := func(t *testing.T, b []byte) ManifestFile {
		r := &Reader{object: objectReader{ctx: t.Context(), objects: heldObject{bytes: b}, name: "m"}}
		var err error
		if r.root, err = readManifest(r.object, int64(len(object)), digest); err != nil {
			t.Fatal(err)
		}
		return r.Manifest()
	}
	f := open(t, object)
	if f.Size() != int64(len(object)) {
		t.Fatalf("size %d, want %d", f.Size(), len(object))
	}
	block := int64(blockRecords * recordSize)
	for _, c := range [][2]int64{{0, f.Size()}, {0, 1}, {block - 1, 2}, {block, block}, {100, 2 * block}, {2 * block, f.Size() - 2*block},
		{f.rootOffset() - 1, 2}, {f.rootOffset(), 1}, {f.Size() - 1, 1}, {f.Size(), 0}} {
		var got bytes.Buffer
		if err := f.WriteRange(t.Context(), &got, c[0], c[1]); err != nil || !bytes.Equal(got.Bytes(), object[c[0]:c[0]+c[1]]) {
			t.Errorf("%d bytes at %d: %v, %d bytes", c[1], c[0], err, got.Len())
		}
	}
	// What was changed after the file was opened is never handed out.
	for _, at := range []int64{5, block + 5, f.rootOffset() + 3} {
		changed := bytes.Clone(object)
		f := open(t, changed)
		changed[at] ^= 1
		var got bytes.Buffer
		err := f.WriteRange(t.Context(), &got, 0, f.Size())
		if !errors.As(err, new(*DamageError)) || int64(got.Len()) > at {
			t.Errorf("byte %d changed: %v after %d bytes", at, err, got.Len())
		}
	}
}
