package raw

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

func code(err error) string {
	if err == nil {
		return ""
	}
	if r := refusal.As(err); r != nil {
		return r.Code
	}
	return err.Error()
}

func TestCheck(t *testing.T) {
	disk := func() []byte { return make([]byte, HeadSize) }
	fat := withMBR(disk())
	copy(fat, "\xeb\x3c\x90mkfs.fat")
	copy(fat[440:], "This is not a bootable disk. Please insert a bootable floppy and press any key")
	copy(fat[510:], "\x55\xaa")
	hybrid := withGPT(disk(), 512, 1000)
	hybrid[446+16+4] = 0xef // a second entry that begins beyond any disk
	hybrid[446+16+8+3] = 0x7f
	hybrid[446+16+12] = 1
	badCRC := withGPT(disk(), 512, 1<<40)
	badCRC[600]++
	badCRC[512+40]++
	legacyBoot := withGPT(disk(), 512, 1000)
	legacyBoot[446] = 0x80
	only := func(sector int, alternate uint64) []byte {
		b := withGPT(disk(), sector, alternate)
		b[510] = 0
		return b
	}
	for _, tc := range []struct {
		name string
		head []byte
		size int64
		want string
	}{
		{"MBR", withMBR(disk()), 1 << 30, ""},
		{"MBR, size unknown", withMBR(disk()), -1, ""},
		{"one sector", withMBR(make([]byte, 512)), 512, ""},
		{"MBR with partitions", withMBR(disk(), [3]uint32{0x83, 2048, 100000}, [3]uint32{0x82, 102048, 1000}), 103048 * 512, ""},
		{"partition ends beyond the disk (OpenWrt)", withMBR(disk(), [3]uint32{0x83, 512, 32768}, [3]uint32{0x83, 33792, 212992}), 33800 * 512, ""},
		{"partition begins at the end", withMBR(disk(), [3]uint32{0x83, 2048, 8}), 2048 * 512, "raw_truncated"},
		{"partition begins beyond the end", withMBR(disk(), [3]uint32{0x83, 2048, 8}, [3]uint32{0x83, 1 << 30, 8}), 1 << 30, "raw_truncated"},
		{"the same, size unknown", withMBR(disk(), [3]uint32{0x83, 1 << 30, 8}), -1, ""},
		{"empty entries", withMBR(disk(), [3]uint32{0, 1 << 30, 8}, [3]uint32{0x83, 1 << 30, 0}), 1 << 20, ""},
		{"FAT boot sector", fat, 1 << 20, ""},
		{"GPT", withGPT(disk(), 512, 2047), 2048 * 512, ""},
		{"GPT, one sector short", withGPT(disk(), 512, 2048), 2048 * 512, "raw_truncated"},
		{"GPT, backup in the midst", withGPT(disk(), 512, 1000), 1 << 30, ""},
		{"GPT, huge backup", withGPT(disk(), 512, 1<<64-1), 1 << 40, "raw_truncated"},
		{"GPT, sectors of 4 KiB", withGPT(disk(), 4096, 255), 1 << 20, ""},
		{"GPT, sectors of 4 KiB, truncated", withGPT(disk(), 4096, 256), 1 << 20, "raw_truncated"},
		{"GPT without MBR", only(512, 100), 1 << 20, ""},
		{"GPT with sectors of 4 KiB without MBR", only(4096, 100), 1 << 20, ""},
		{"GPT with a wrong checksum says nothing", badCRC, 1 << 20, ""},
		{"hybrid MBR", hybrid, 1 << 20, ""},
		{"legacy boot flag", legacyBoot, 1 << 20, ""},
		{"empty", nil, 0, "raw_empty"},
		{"empty, size unknown", nil, -1, "raw_empty"},
		{"511 bytes", disk()[:511], 511, "raw_not_a_disk"},
		{"zeros", disk(), 1 << 30, "raw_not_a_disk"},
		{"HTML", []byte("\n<!DOCTYPE HTML><p>"), -1, "raw_not_a_disk"},
	} {
		if got := code(Check(tc.head, tc.size)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestGuess(t *testing.T) {
	ext4 := make([]byte, 4096)
	copy(ext4[0x438:], "\x53\xef")
	for _, tc := range []struct{ want, head string }{
		{"HTML", "\n\n<!DOCTYPE html>\n<html lang=en>"},
		{"HTML", "\ufeff<HTML>"},
		{"XML", `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`},
		{"JSON", `{"message": "Not Found"}`},
		{"text", "Moved to another place.\n"},
		{"text", "<p>déjà vu"},
		{"zeros", strings.Repeat("\x00", 4096)},
		{"ext4", string(ext4)},
		{"XFS", "XFSB\x00\x00\x10\x00"},
		{"LVM", strings.Repeat("\x00", 512) + "LABELONE"},
		{"ELF", "\x7fELF\x02"},
		{"DMG", "\x78\xda\x63\x60\x18\x05"},
		{"PDF", "%PDF-1.7\n%\xe2\xe3\xcf\xd3"},
		{"cut off", "\x01\x02\x03"},
		{"another kind", strings.Repeat("\x01\xff", 300)},
		{"another kind", "{" + strings.Repeat("\x01\xff", 300)},
	} {
		err := Check([]byte(tc.head), int64(len(tc.head)))
		r := refusal.As(err)
		if r == nil || r.Code != "raw_not_a_disk" || !strings.Contains(r.Message, tc.want) {
			t.Errorf("%.20q: %v, want one that says %q", tc.head, err, tc.want)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, size := range []int{512, 4096, 5000, 300_001, 1 << 20, 3<<20 + 512} {
		b := noise(size, uint64(size))
		want := append(bytes.Clone(b), make([]byte, -size&511)...)
		d, err := Open(bytes.NewReader(b), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		disktest.Conform(t, d, want)
	}
}

// TestSizeIsPaddedAsByQemu: a file that ends within a sector has the guest's size that qemu-img gives it.
func TestSizeIsPaddedAsByQemu(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	path := filepath.Join(t.TempDir(), "odd.raw")
	b := noise(100_001, 1)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(disktest.Convert(t, path, "raw", "raw"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	disktest.Conform(t, d, want)
	got, err := follow(stream(t, b, -1))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the stream has %d bytes, %v; want %d", len(got), err, len(want))
	}
}

// TestFixedVHD has qemu-img make one: its beginning is a good raw disk.
func TestFixedVHD(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	path := filepath.Join(t.TempDir(), "d.raw")
	if err := os.WriteFile(path, noise(2<<20, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	vhd, err := os.ReadFile(disktest.Convert(t, path, "vpc", "raw", "-o", "subformat=fixed,force_size"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"qemu": vhd, "511 bytes": append(bytes.Clone(vhd[:2<<20]), vhd[2<<20:len(vhd)-1]...)} {
		if _, err := Open(bytes.NewReader(b), int64(len(b))); code(err) != "format_vhd" {
			t.Errorf("%s: Open: %v", name, err)
		}
		for _, size := range []int64{-1, int64(len(b))} {
			if _, err := follow(stream(t, b, size)); code(err) != "format_vhd" {
				t.Errorf("%s: stream of size %d: %v", name, size, err)
			}
		}
	}
}

// TestAppleDiskImage: a read-write one is a raw disk with a trailer of 512 bytes.
func TestAppleDiskImage(t *testing.T) {
	b := append(noise(2<<20, 3), make([]byte, 512)...)
	copy(b[2<<20:], "koly\x00\x00\x00\x04\x00\x00\x02\x00")
	if _, err := Open(bytes.NewReader(b), int64(len(b))); code(err) != "format_dmg" {
		t.Errorf("Open: %v", err)
	}
	if _, err := follow(stream(t, b, -1)); code(err) != "format_dmg" {
		t.Errorf("stream: %v", err)
	}
}

type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestOpenErrors(t *testing.T) {
	b := noise(1<<20, 4)
	if _, err := Open(bytes.NewReader(b), -1); err == nil {
		t.Error("a file of unknown size was opened")
	}
	if _, err := Open(bytes.NewReader(b), 2<<20); code(err) != "raw_truncated" {
		t.Errorf("a file shorter than it is said to be: %v", err)
	}
	broken := errors.New("broken")
	if _, err := Open(failing{bytes.NewReader(b), 4096, broken}, 1<<20); !errors.Is(err, broken) || refusal.As(err) != nil {
		t.Errorf("Open: %v", err)
	}
	d, err := Open(bytes.NewReader(b), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	d.r = failing{bytes.NewReader(b), 4096, broken}
	if _, err := d.ReadAt(make([]byte, 8192), 0); !errors.Is(err, broken) {
		t.Errorf("ReadAt: %v", err)
	}
	if _, _, err := d.NextData(0); !errors.Is(err, broken) {
		t.Errorf("NextData: %v", err)
	}
	if _, _, err := d.NextData(-1); err == nil {
		t.Error("NextData before the start succeeded")
	}
}
