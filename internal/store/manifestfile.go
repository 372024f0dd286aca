package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
)

// ManifestFile is a disk's manifest as it is kept, byte for byte: what a client compares with what it has, to fetch
// only what differs.
type ManifestFile struct{ r *Reader }

// Manifest returns the manifest that the disk is read by.
func (r *Reader) Manifest() ManifestFile { return ManifestFile{r} }

// Size is the manifest's length in bytes.
func (f ManifestFile) Size() int64 { return f.rootOffset() + f.r.root.rootSize() }

func (f ManifestFile) rootOffset() int64 { return f.r.root.records * recordSize }

// WriteRange writes n bytes from off on to w. Each piece has been checked before it is written.
func (f ManifestFile) WriteRange(ctx context.Context, w io.Writer, off, n int64) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, start, err := f.piece(off)
		if err != nil {
			return f.r.damage(err)
		}
		b = b[off-start:]
		b = b[:min(int64(len(b)), n)]
		if _, err := w.Write(b); err != nil {
			return err
		}
		off, n = off+int64(len(b)), n-int64(len(b))
	}
	return nil
}

// copyTo writes the manifest, byte for byte and checked, to an object whose name is registered.
func (f ManifestFile) copyTo(ctx context.Context, objects Objects, name string) error {
	object, err := objects.Create(ctx, name)
	if err != nil {
		return err
	}
	if err = f.WriteRange(ctx, object, 0, f.Size()); err == nil {
		err = object.Commit()
	}
	if err != nil {
		return errors.Join(err, object.Abort())
	}
	return nil
}

// piece returns the block, or the root, in which an offset lies, and where it begins.
func (f ManifestFile) piece(off int64) (b []byte, start int64, err error) {
	if start = f.rootOffset(); off >= start {
		b = make([]byte, f.r.root.rootSize())
		if err := readFull(f.r.object, b, start); err != nil {
			return nil, 0, err
		}
		if sha256.Sum256(b) != f.r.root.digest {
			return nil, 0, errDigest
		}
		return b, start, nil
	}
	i := off / (blockRecords * recordSize)
	b, err = f.r.root.readRaw(f.r.object, int(i))
	return b, i * blockRecords * recordSize, err
}
