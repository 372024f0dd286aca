package testdisk

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func copyOwner(path string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(path, int(stat.Uid), int(stat.Gid)); err != nil && os.Geteuid() == 0 {
			return err
		}
	}
	return os.Chmod(path, info.Mode())
}

// makeDisk makes an ext4 file system of a tree, with an identity of its own, behind a partition table.
const makeDisk = `set -e
rm -f $raw.part
truncate -s $virtual $raw.part
echo 'label: gpt
start=2048, type=L' | sfdisk -q $raw.part
mkfs.ext4 -q -E offset=1048576 -d $tree $raw.part $(((virtual - 2097152) / 1024))k
fallocate --dig-holes $raw.part
mv $raw.part $raw`

// Raw makes a raw, sparse disk of so many bytes: GPT, and an ext4 file system with the files of a tree.
func Raw(ctx context.Context, tree, raw string, virtual int64) error {
	if err := Script(ctx, makeDisk, "tree="+tree, "raw="+raw, fmt.Sprintf("virtual=%d", virtual)); err != nil {
		return fmt.Errorf("make %s: %w", raw, err)
	}
	return nil
}

// part copies files with their folders.
const part = `set -e
rm -rf $to; mkdir -p $to
cd $tree
find . -xdev -type f -printf '%s %p\n' | sort -k2 |
  awk -v n=$bytes -v k=$k -v of=$of '(NR - 1) % of == k { if (s + $1 > n) exit; s += $1; print substr($0, index($0, " ") + 1) }' |
  tar -cf - -T - | tar -xf - -C $to`

// Part makes a folder with every of-th file of a tree, from the k-th on, up to so many bytes.
func Part(ctx context.Context, tree, to string, k, of int, bytes int64) error {
	return Script(ctx, part, "tree="+tree, "to="+to, fmt.Sprintf("k=%d", k), fmt.Sprintf("of=%d", of), fmt.Sprintf("bytes=%d", bytes))
}

// Link makes a folder that has a tree's files in common with it.
func Link(ctx context.Context, tree, to string) error {
	return Script(ctx, "rm -rf $to && cp -al $tree $to", "tree="+tree, "to="+to)
}
