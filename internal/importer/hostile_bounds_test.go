package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"ingot/internal/disk/craft"
	"ingot/internal/image"
	"ingot/internal/source"
)

// What users read of a file or a disk of so many bytes that the bound of 1 MiB forbids. Of a file that is still being
// decompressed nobody knows the size.
const (
	fileSays  = "The file has %d bytes; it must be smaller than 1048576, also after being decompressed. Convert it to a format that leaves out what is empty"
	diskSays  = "The disk has %d bytes as a guest sees it; it must be smaller than 1048576. Shrink it (qemu-img resize --shrink"
	imageSays = "The image must be smaller than 1048576 bytes after being decompressed, and this file is not. Shrink the disk, or leave its empty space out"
)

// TestSizeBound imports files and disks around a bound of 1 MiB.
func TestSizeBound(t *testing.T) {
	b := newBench(t, options{maxSize: mib})
	rawOf := func(n int) []byte { return craft.Guest(n, 9) }
	qcow2Of := func(size uint64) []byte {
		return craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 12, Size: size}).Fill(craft.Guest(64*kib, 9)).Bytes
	}
	vmdkOf := func(size int) []byte {
		m := craft.SparseVMDK(make([]byte, size), craft.SparseDescriptor)
		return m.Bytes[:m.Directory]
	}
	vdiOf := func(size int) []byte { return craft.VDI(craft.Guest(size, 9)).Bytes }
	for i, c := range []struct {
		name, code, says string
		file             []byte
	}{
		{"raw, a sector less", "", "", rawOf(mib - 512)},
		{"raw, a byte less, which makes a whole sector", "disk_too_large", fmt.Sprintf(diskSays, mib), rawOf(mib - 1)},
		{"raw, at the bound", "file_too_large", fmt.Sprintf(fileSays, mib), rawOf(mib)},
		{"raw, a byte more", "file_too_large", fmt.Sprintf(fileSays, mib+1), rawOf(mib + 1)},
		{"gzip, a sector less", "", "", gzipped(rawOf(mib - 512))},
		{"gzip, at the bound", "image_too_large", imageSays, gzipped(rawOf(mib))},
		{"gzip, a byte more", "image_too_large", imageSays, gzipped(rawOf(mib + 1))},
		{"gzip, far more", "image_too_large", imageSays, gzipped(append(rawOf(mib), make([]byte, 64*mib)...))},
		{"bzip2, a sector less", "", "", bzip2Of(t, "bzip2", rawOf(mib-512))},
		{"bzip2, at the bound", "image_too_large", imageSays, bzip2Of(t, "bzip2", rawOf(mib))},
		{"qcow2, a sector less", "", "", qcow2Of(mib - 512)},
		{"qcow2, at the bound", "disk_too_large", fmt.Sprintf(diskSays, mib), qcow2Of(mib)},
		{"qcow2, a sector more", "disk_too_large", fmt.Sprintf(diskSays, mib+512), qcow2Of(mib + 512)},
		{"vdi, a sector less, but its file is more", "file_too_large", fmt.Sprintf(fileSays, mib+1024), vdiOf(mib - 512)},
		{"vdi in gzip, a sector less, but its file is more", "image_too_large", imageSays, gzipped(vdiOf(mib - 512))},
		{"empty vdi, a sector less", "", "", emptyVDI(mib - 512).Bytes},
		{"empty vdi, at the bound", "disk_too_large", fmt.Sprintf(diskSays, mib), emptyVDI(mib).Bytes},
		{"vmdk, at the bound, its directory beyond the end", "disk_too_large", fmt.Sprintf(diskSays, mib), vmdkOf(mib)},
		{"vmdk, a sector less, its directory beyond the end", "vmdk_truncated", "The VMDK file ends", vmdkOf(mib - 512)},
	} {
		m, p := b.settled(b.post(b.file(fmt.Sprint("/", i), func() []byte { return c.file })))
		if want := map[bool]image.Status{true: image.Available, false: image.Deleted}[c.code == ""]; m.Status != want || p.ErrorCode != c.code {
			t.Errorf("%s: %s, %s: %s; want %q", c.name, m.Status, p.ErrorCode, m.ErrorMessage, c.code)
		}
		if !strings.HasPrefix(m.ErrorMessage, c.says) || (c.says == "") != (m.ErrorMessage == "") {
			t.Errorf("%s: %q; want %q", c.name, m.ErrorMessage, c.says)
		}
		if c.code == "" {
			if err := b.cat.DeleteImage(t.Context(), b.account, m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.wantNothing()
}

// TestQuotaEndsAnImport: an import ends when it has more than its account may hold, however much is still to come.
func TestQuotaEndsAnImport(t *testing.T) {
	b := newBench(t, options{quota: image.Quota{Bytes: mib}})
	rest := make(chan struct{})
	t.Cleanup(func() { close(rest) })
	id := b.post(b.serve("/disk", waiting(craft.Guest(16*mib, 4), make(chan struct{}), rest)))
	if m, p := b.settled(id); m.Status != image.Deleted || p.ErrorCode != "quota_bytes" {
		t.Errorf("%s, %s: %s", m.Status, p.ErrorCode, m.ErrorMessage)
	}
	b.wantNothing()
}

// TestURLBound: what the API takes as a URL can be read.
func TestURLBound(t *testing.T) {
	if source.MaxURL != image.MaxURL {
		t.Errorf("the source takes %d bytes of URL, the API %d", source.MaxURL, image.MaxURL)
	}
}
