package testdisk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Disk is the disk that most benches measure with, and the folder for what is made of it.
type Disk struct {
	Folder string
	Base   string // the Debian's tree
	Raw    string // path of the raw, sparse disk

	bytes, virtual int64
	work           string
}

// Folder is where Installed puts a disk and what is made of it.
func Folder(work string, size Size, bytes, virtual int64) string {
	return filepath.Join(work, fmt.Sprintf("disks-%s-%d-%d", size, bytes, virtual))
}

// Installed makes, unless it is there, a disk with an installed Debian; with bytes above 0 it has only so many bytes of its
// files.
func Installed(ctx context.Context, work string, bytes, virtual int64) (d Disk, err error) {
	if work, err = filepath.Abs(work); err != nil {
		return d, err
	}
	size := Large
	if bytes > 0 && bytes < 500e6 {
		size = Small
	}
	d = Disk{bytes: bytes, virtual: virtual, work: work, Folder: Folder(work, size, bytes, virtual)}
	if d.Base, err = Debian(ctx, work, size); err != nil {
		return d, err
	}
	if err := os.MkdirAll(d.Folder, 0o755); err != nil {
		return d, err
	}
	d.Raw, err = d.Make(ctx, "disk", func(to string) error { return d.fill(ctx, d.Base, to) })
	return d, err
}

// Make makes another raw disk beside it, of the tree that fill makes, unless it is there.
func (d Disk) Make(ctx context.Context, name string, fill func(to string) error) (raw string, err error) {
	raw = filepath.Join(d.Folder, name+".raw")
	return raw, once(raw, func(part string) error {
		tree := filepath.Join(d.Folder, "tree-"+name)
		defer os.RemoveAll(tree)
		if err := fill(tree); err != nil {
			return err
		}
		return Raw(ctx, tree, part, d.virtual)
	})
}

// fill makes a folder of as many of a Debian's files as the disk shall have.
func (d Disk) fill(ctx context.Context, from, to string) error {
	if d.bytes == 0 {
		return Link(ctx, from, to)
	}
	return Part(ctx, from, to, 0, 1, d.bytes)
}

// NextNight makes the disk of the same Debian a night later.
func (d Disk) NextNight(ctx context.Context) (raw string, err error) {
	return d.Make(ctx, "near", func(to string) error {
		nights, err := NewNights(d.Base, d.work, false)
		if err != nil {
			return err
		}
		tree, changed, err := nights.Tree(ctx, 1)
		if err != nil {
			return err
		}
		defer os.RemoveAll(tree)
		fmt.Fprintln(os.Stderr, "changed:", changed)
		return d.fill(ctx, tree, to)
	})
}
