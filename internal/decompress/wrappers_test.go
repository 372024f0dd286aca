package decompress

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
)

func tarHead() []byte {
	head := make([]byte, HeadSize)
	copy(head, "disk.raw")
	copy(head[257:], "ustar\x0000")
	return head
}

func TestWrappers(t *testing.T) {
	tests := []struct {
		name string
		head string
	}{
		{"xz", "\xfd7zXZ\x00\x00\x04"},
		{"zstd", "\x28\xb5\x2f\xfd\x04"},
		{"lz4", "\x04\x22\x4d\x18\x64"},
		{"lz4 (legacy)", "\x02\x21\x4c\x18\x01"},
		{"lzop", "\x89LZO\x00\x0d\x0a\x1a\x0a\x10"},
		{"lzip", "LZIP\x01"},
		{"lzma", "\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00"},
		{"lzma", "\x5d\x00\x00\x80\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00"},
		{"compress (.Z)", "\x1f\x9d\x90"},
		{"zip", "PK\x03\x04\x14"},
		{"zip", "PK\x05\x06\x00"},
		{"zip", "PK\x07\x08PK\x03\x04"},
		{"tar (also OVA)", string(tarHead())},
		{"7z", "7z\xbc\xaf\x27\x1c\x00"},
		{"RAR", "Rar!\x1a\x07\x00"},
		{"RAR", "Rar!\x1a\x07\x01\x00"},
	}
	const wording = "We don't support the compression format of your image. "
	for _, test := range tests {
		wantRefusal(t, Unsupported([]byte(test.head)), "compression_unsupported", wording, test.name, "gzip disk")
		wantRefusal(t, Nested([]byte(test.head)), "compression_nested", wording, test.name, "gzip disk")
		_, err := read(t, strings.NewReader(test.head), large)
		wantRefusal(t, err, "compression_unsupported", wording, test.name)
	}
	for _, name := range []string{Gzip, Bzip2} {
		head := map[string]string{Gzip: "\x1f\x8b\x08\x00", Bzip2: "BZh91AY&SY"}[name]
		if err := Unsupported([]byte(head)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantRefusal(t, Nested([]byte(head)), "compression_nested", wording, "itself compressed with "+name)
	}
}

func TestNoWrapper(t *testing.T) {
	tests := []string{
		"", "\x1f", "BZ", "PK\x03", "QFI\xfb\x00\x00\x00\x03", "KDMV", "# Disk DescriptorFile", "<html>", "\xfd7zXZ",
		"\xeb\x63\x90" + strings.Repeat("\x00", 507) + "\x55\xaa",
		"\x5d\x00\x00\x81\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00", // no dictionary of lzma's
		"\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"\x5d\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		"\x5d\x00\x00\x80\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00",
		string(tarHead()[:257]),
	}
	for _, head := range tests {
		if err := Unsupported([]byte(head)); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		if err := Nested([]byte(head)); err != nil {
			t.Errorf("%q: %v", head, err)
		}
	}
}

func TestNestedFiles(t *testing.T) {
	disk := diskBytes(t, 1<<20)
	inner := map[string][]byte{"gzip": gzipped(t, disk), "bzip2": bzipped(t, disk), "tar": append(tarHead(), disk...), "zip": []byte("PK\x03\x04")}
	for name, b := range inner {
		for outer, wrapped := range map[string][]byte{
			Gzip: gzipped(t, b), Bzip2: bzipped(t, b),
			"members": bytes.Join([][]byte{gzipped(t, b[:1]), gzipped(t, b[1:3]), gzipped(t, b[3:])}, nil),
		} {
			got, err := read(t, bytes.NewReader(wrapped), large)
			wantRefusal(t, err, "compression_nested", name)
			if len(got) != 0 {
				t.Errorf("%s in %s: %d bytes came out", name, outer, len(got))
			}
		}
	}
}

// TestRealWrappers makes files with the tools that the messages name.
func TestRealWrappers(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(plain, diskBytes(t, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []struct {
		name, file string
		args       []string
	}{
		{"xz", plain + ".xz", []string{"xz", "-k", plain}},
		{"lzma", plain + ".lzma", []string{"xz", "-k", "--format=lzma", plain}},
		{"zstd", plain + ".zst", []string{"zstd", "-q", "-k", plain}},
		{"tar", plain + ".tar", []string{"tar", "-C", dir, "-cf", plain + ".tar", "disk.raw"}},
	} {
		t.Run(tool.name, func(t *testing.T) {
			disktest.NeedTool(t, tool.args[0])
			disktest.Run(t, tool.args[0], tool.args[1:]...)
			b, err := os.ReadFile(tool.file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = read(t, bytes.NewReader(b), large)
			wantRefusal(t, err, "compression_unsupported", tool.name)
			_, err = read(t, bytes.NewReader(gzipped(t, b)), large)
			wantRefusal(t, err, "compression_nested", tool.name)
		})
	}
}

func ExampleUnsupported() {
	fmt.Println(Unsupported([]byte("\xfd7zXZ\x00")))
	// Output: compression_unsupported: We don't support the compression format of your image. It is compressed with xz; gzip and bzip2 are accepted. Compress it anew: unxz disk.xz && gzip disk
}
