package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// testFile is the test disk in one format and wrapper.
type testFile struct {
	name, path, format, wrapper string
	size                        int64
}

// kinds are the cases, and how each is made of the raw disk $raw.
var kinds = []struct{ name, file, format, wrapper, make string }{
	{"qcow2", "disk.qcow2", "qcow2", "", "qemu-img convert -f raw -O qcow2 $raw $out"},
	{"qcow2-zlib", "disk-zlib.qcow2", "qcow2", "", "qemu-img convert -W -m 8 -c -f raw -O qcow2 $raw $out"},
	{"qcow2-zstd", "disk-zstd.qcow2", "qcow2", "", "qemu-img convert -W -m 8 -c -f raw -O qcow2 -o compression_type=zstd $raw $out"},
	{"vmdk", "disk.vmdk", "vmdk", "", "qemu-img convert -f raw -O vmdk $raw $out"},
	{"vmdk-stream", "disk-stream.vmdk", "vmdk", "", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized $raw $out"},
	{"vdi", "disk.vdi", "vdi", "", "qemu-img convert -f raw -O vdi $raw $out"},
	{"vhdx", "disk.vhdx", "vhdx", "", "qemu-img convert -f raw -O vhdx $raw $out"},
	{"raw.gz", "disk.raw.gz", "raw", "gunzip", "pigz -c $raw > $out"},
	{"qcow2.gz", "disk.qcow2.gz", "qcow2", "gunzip", "qemu-img convert -f raw -O qcow2 $raw $out.plain && pigz -c $out.plain > $out && rm $out.plain"},
	{"sparse-10G", "sparse10.qcow2", "qcow2", "", sparse + "10G"},
	{"sparse-90G", "sparse90.qcow2", "qcow2", "", sparse + "90G"},
	{"raw.bz2", "disk.raw.bz2", "raw", "bunzip2", "lbzip2 -c $raw > $out"},
	{"qcow2.bz2", "disk.qcow2.bz2", "qcow2", "bunzip2", "qemu-img convert -f raw -O qcow2 $raw $out.plain && lbzip2 -c $out.plain > $out && rm $out.plain"},
}

// sparse makes a large disk with a megabyte of data at each of two hundred places; the size is appended.
const sparse = `make() {
  qemu-img create -q -f qcow2 $out $1
  i=0; while [ $i -lt 200 ]; do echo "write -q -P $((i + 1)) $(( ${1%G} * 1073741824 / 200 * i )) 1M"; i=$((i + 1)); done | qemu-io -f qcow2 $out >/dev/null
}; make `

// makeDisk fills a file tree with the first so many bytes of a folder's files, and makes an ext4 file system of it
// behind a partition table.
const makeDisk = `set -e
rm -rf $dir/tree; mkdir -p $dir/tree
(cd $tree && find . -xdev -type f -size -64M -printf '%s %p\n' | sort -k2 | awk -v n=$bytes '{ if (s + $1 > n) exit; s += $1; print substr($0, index($0, " ") + 1) }' | tar -cf - -T - | tar -xf - -C $dir/tree)
rm -f $dir/fs $raw; truncate -s $((virtual - 2097152)) $dir/fs
mkfs.ext4 -q -d $dir/tree $dir/fs
truncate -s $virtual $raw
echo 'label: gpt
start=2048, type=L' | sfdisk -q $raw
dd if=$dir/fs of=$raw bs=1M seek=1 conv=sparse,notrunc status=none
rm -rf $dir/tree $dir/fs`

// prepare makes the test files that are not there yet.
func prepare(ctx context.Context, cfg config) ([]testFile, error) {
	if err := os.MkdirAll(cfg.work, 0o755); err != nil {
		return nil, err
	}
	raw := filepath.Join(cfg.work, "disk.raw")
	if err := make1(ctx, cfg, raw, raw, makeDisk); err != nil {
		return nil, err
	}
	var files []testFile
	for _, k := range kinds {
		if !cfg.wants(k.name) {
			continue
		}
		out := filepath.Join(cfg.work, k.file)
		if err := make1(ctx, cfg, raw, out, k.make); err != nil {
			return nil, err
		}
		info, err := os.Stat(out)
		if err != nil {
			return nil, err
		}
		files = append(files, testFile{k.name, out, k.format, k.wrapper, info.Size()})
	}
	return files, nil
}

func make1(ctx context.Context, cfg config, raw, out, script string) error {
	if _, err := os.Stat(out); err == nil {
		return nil
	}
	fmt.Fprintln(os.Stderr, "making", out)
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin", "raw="+raw, "out="+out, "dir="+cfg.work, "tree="+cfg.tree,
		fmt.Sprintf("bytes=%d", cfg.bytes), fmt.Sprintf("virtual=%d", cfg.virtual))
	if text, err := cmd.CombinedOutput(); err != nil {
		os.Remove(out)
		return fmt.Errorf("make %s: %w\n%s", out, err, text)
	}
	return nil
}
