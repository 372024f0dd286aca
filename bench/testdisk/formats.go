package testdisk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// File is a disk in one format and wrapper.
type File struct {
	Name   string // of the kind: qcow2-zlib
	Path   string
	Format string // as qemu-img calls it
	Unwrap string // the plain Debian tool that takes the wrapper off, or nothing
	Faster string // the fastest known one
	Size   int64
}

// Kinds are the formats, and how each is made of the raw disk $raw.
var Kinds = []struct{ Name, Suffix, Format, Unwrap, Faster, make string }{
	{"qcow2", "qcow2", "qcow2", "", "", "qemu-img convert -f raw -O qcow2 $raw $out"},
	{"vmdk", "vmdk", "vmdk", "", "", "qemu-img convert -f raw -O vmdk $raw $out"},
	{"vdi", "vdi", "vdi", "", "", "qemu-img convert -f raw -O vdi $raw $out"},
	{"vhdx", "vhdx", "vhdx", "", "", "qemu-img convert -f raw -O vhdx $raw $out"},
	{"qcow2-zlib", "zlib.qcow2", "qcow2", "", "", "qemu-img convert -W -m 8 -c -f raw -O qcow2 $raw $out"},
	{"qcow2-zstd", "zstd.qcow2", "qcow2", "", "", "qemu-img convert -W -m 8 -c -f raw -O qcow2 -o compression_type=zstd $raw $out"},
	{"vmdk-stream", "stream.vmdk", "vmdk", "", "", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized $raw $out"},
	{"raw.gz", "raw.gz", "raw", "gunzip", "igzip", "gzip -c $raw > $out"},
	{"qcow2.gz", "qcow2.gz", "qcow2", "gunzip", "igzip", "qemu-img convert -f raw -O qcow2 $raw $out.plain && gzip -c $out.plain > $out && rm $out.plain"},
	{"raw.bz2", "raw.bz2", "raw", "bunzip2", "lbzip2", "lbzip2 -c $raw > $out"},
	{"qcow2.bz2", "qcow2.bz2", "qcow2", "bunzip2", "lbzip2", "qemu-img convert -f raw -O qcow2 $raw $out.plain && lbzip2 -c $out.plain > $out && rm $out.plain"},
}

// Convert makes a kind of file of a raw disk, beside it, unless it is there.
func Convert(ctx context.Context, raw, kind string) (File, error) {
	for _, k := range Kinds {
		if k.Name != kind {
			continue
		}
		out := strings.TrimSuffix(raw, ".raw") + "." + k.Suffix
		if err := once(out, func(part string) error { return Script(ctx, "set -e; "+k.make, "raw="+raw, "out="+part) }); err != nil {
			return File{}, err
		}
		info, err := os.Stat(out)
		if err != nil {
			return File{}, err
		}
		return File{kind, out, k.Format, k.Unwrap, k.Faster, info.Size()}, nil
	}
	return File{}, fmt.Errorf("there is no case %q", kind)
}

// once makes a file under another name, so that what is there is whole.
func once(path string, make func(part string) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	fmt.Fprintln(os.Stderr, "making", path)
	dir, name := filepath.Split(path)
	part := filepath.Join(dir, "part-"+name)
	defer os.Remove(part)
	if err := make(part); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return os.Rename(part, path)
}
