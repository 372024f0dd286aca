package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"ingot/gradient/ingot"
	"ingot/internal/store"
)

// fromBase copies from the base what it has of some chunks, and returns the others. What stands in its own place is found
// by looking there. What has moved, as nearly everything has in an image that was built anew, is found by cutting the base
// as the store would: equal content is cut alike, wherever it stands.
func (p *pull) fromBase(ctx context.Context, missing []ingot.Chunk) ([]ingot.Chunk, error) {
	f, err := os.Open(p.base)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	missing, err = p.without(ctx, "compare", missing, f, p.write)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	return p.moved(ctx, fileDisk{f, size}, missing)
}

func (p *pull) moved(ctx context.Context, base fileDisk, missing []ingot.Chunk) ([]ingot.Chunk, error) {
	slices.SortFunc(missing, func(a, b ingot.Chunk) int { return bytes.Compare(a.SHA256[:], b.SHA256[:]) })
	found := make([]bool, len(missing))
	err := store.Chunks(ctx, base, func(off int64, data []byte, digest store.Digest) error {
		p.bar.show("search", off+int64(len(data)), base.size)
		i, _ := slices.BinarySearchFunc(missing, digest, func(c ingot.Chunk, d store.Digest) int { return bytes.Compare(c.SHA256[:], d[:]) })
		for ; i < len(missing) && missing[i].SHA256 == digest && !found[i]; i++ {
			if err := p.write(missing[i], data); err != nil {
				return err
			}
			found[i] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rest []ingot.Chunk
	for i, c := range missing {
		if !found[i] {
			rest = append(rest, c)
		}
	}
	slices.SortFunc(rest, func(a, b ingot.Chunk) int { return cmp.Compare(a.Offset, b.Offset) })
	return rest, nil
}

// fileDisk is a raw file as a disk, with the holes that the file system knows.
type fileDisk struct {
	*os.File
	size int64
}

func (d fileDisk) Size() int64 { return d.size }

func (d fileDisk) NextData(off int64) (start, end int64, err error) {
	if off >= d.size {
		return 0, 0, io.EOF
	}
	start, err = unix.Seek(int(d.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return 0, 0, io.EOF
	}
	if err != nil {
		return off, d.size, nil // a block device, say: all of it is data
	}
	if end, err = unix.Seek(int(d.Fd()), start, unix.SEEK_HOLE); err != nil {
		end = d.size
	}
	if start >= d.size {
		return 0, 0, io.EOF // it has grown
	}
	return start, min(end, d.size), nil
}
