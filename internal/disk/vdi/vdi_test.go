package vdi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

func TestMatch(t *testing.T) {
	head := build(disk{size: mib}).bytes(0, 512)
	for name, tc := range map[string]struct {
		head []byte
		want bool
	}{
		"a header": {head, true}, "its first 68 bytes": {head[:68], true}, "one too few": {head[:67], false}, "none": {nil, false},
		"zeros": {make([]byte, 512), false}, "elsewhere": {head[1:], false},
	} {
		if got := Match(tc.head); got != tc.want {
			t.Errorf("Match(%s) = %v, want %v", name, got, tc.want)
		}
	}
}

// open opens a file of a known size, and again as one that is still arriving.
func open(t *testing.T, path string, check func(*testing.T, *Disk)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"known size": st.Size(), "unknown size": -1} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(f, size)
			if err != nil {
				t.Fatal(err)
			}
			check(t, d)
		})
	}
}

// TestOracle reads what qemu-img and qemu-io make.
func TestOracle(t *testing.T) {
	for i, tc := range []struct {
		options string
		size    int64
		writes  int
	}{
		{"", 16 * mib, 0},
		{"", 20 * mib, 60},
		{"", 20*mib + 512, 60},
		{"", 7*mib + 3*512, 30},
		{"", 512, 1},
		{"static=on", 12 * mib, 30},
		{"static=on", 9*mib + 1536, 30},
		{"static=on", 8 * mib, 0},
		{"preallocation=falloc", 8 * mib, 10},
	} {
		t.Run(fmt.Sprintf("%s %d", tc.options, tc.size), func(t *testing.T) {
			path := disktest.Image(t, "vdi", tc.options, tc.size, tc.writes, uint64(i))
			want := disktest.Raw(t, path, "vdi")
			open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
		})
	}
}

func TestConverted(t *testing.T) {
	raw := disktest.RandomRaw(t, 24*mib+512, 5)
	want := disktest.Raw(t, raw, "raw")
	for _, options := range []string{"static=off", "static=on"} {
		t.Run(options, func(t *testing.T) {
			path := disktest.Convert(t, raw, "vdi", "raw", "-o", options)
			open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
		})
	}
}

// TestDiscarded: qemu marks a discarded block as one of zeros.
func TestDiscarded(t *testing.T) {
	path := disktest.Image(t, "vdi", "", 8*mib, 30, 4)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mapAt+8); err != nil {
		t.Fatal(err)
	}
	want := disktest.Raw(t, path, "vdi")
	if !bytes.Equal(want[2*mib:4*mib], make([]byte, 2*mib)) {
		t.Fatal("the oracle reads something in what was discarded")
	}
	open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
}

// TestOddSize: VirtualBox can make a disk that does not end with a sector.
func TestOddSize(t *testing.T) {
	path := disktest.Image(t, "vdi", "", 5*mib+1024, 20, 6)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(le.AppendUint64(nil, 5*mib+600), 0x170); err != nil {
		t.Fatal(err)
	}
	want := disktest.Raw(t, path, "vdi")
	open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
}

// TestLayouts: what VirtualBox does otherwise than qemu.
func TestLayouts(t *testing.T) {
	want := disk{size: 5*mib + 512, present: []int{4, 0, 5}}
	for name, edit := range map[string]func(f *sparse){
		"as built":           func(*sparse) {},
		"larger header":      func(f *sparse) { f.put32(0x48, 0x190) },
		"version 1.1's text": func(f *sparse) { f.write(0, []byte("<<< Oracle VM VirtualBox Disk Image >>>\n")) },
		"ids":                func(f *sparse) { f.write(0x188, bytes.Repeat([]byte{7}, 32)) },
		"map at 1 MiB, data at 2": func(f *sparse) {
			whole := f.bytes(0, int(f.size))
			f.write(mib, whole[mapAt:1024])
			f.write(2*mib, whole[1024:])
			f.put32(0x154, mib)
			f.put32(0x158, 2*mib)
		},
		"more blocks than the disk has": func(f *sparse) { f.put32(0x180, 100) },
		"last block short in the file":  func(f *sparse) { f.size -= mib - 512 },
	} {
		t.Run(name, func(t *testing.T) {
			f := build(want)
			edit(f)
			for _, size := range []int64{f.size, -1} {
				d, err := Open(f, size)
				if err != nil {
					t.Fatal(err)
				}
				disktest.Conform(t, d, guest(want))
			}
		})
	}
}

// TestTruncated cuts a file at many places. Its last block ends where the file does, so that each cut takes data away.
func TestTruncated(t *testing.T) {
	path := disktest.Image(t, "vdi", "", 12*mib, 20, 3)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cuts := []int{0, 1, 0x40, 0x43, 0x44, 0x1c8, 511, 512, 513, 512 + 47, 1023, 1024, 1025, mib, len(whole) - 1}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		cuts = append(cuts, rng.IntN(len(whole)))
	}
	for _, n := range cuts {
		for _, size := range []int64{int64(n), -1} {
			err := readAll(bytes.NewReader(whole[:n]), size)
			if code := codeOf(err); code != "vdi_truncated" && (size < 0 || code != "vdi_block_beyond_end") {
				t.Errorf("cut at %d, size %d: %v", n, size, err)
			}
		}
	}
}

// TestRefusals damages a sound file in one way each. A row that leaves no code is a file that must still be read.
func TestRefusals(t *testing.T) {
	u32 := func(off int64, v uint32) func(*sparse) { return func(f *sparse) { f.put32(off, v) } }
	u64 := func(off int64, v uint64) func(*sparse) { return func(f *sparse) { f.put64(off, v) } }
	entry := func(block int64, v uint32) func(*sparse) { return u32(mapAt+4*block, v) }
	for _, tc := range []struct {
		name, code string
		late       string // where the size is not known; "": the same
		damage     func(*sparse)
	}{
		{"nothing", "", "", func(*sparse) {}},
		{"signature", "vdi_signature", "", u32(0x40, 0)},
		{"version 0.1", "vdi_version", "", u32(0x44, 1)},
		{"version 1.0", "vdi_version", "", u32(0x44, 1<<16)},
		{"version 2.1", "vdi_version", "", u32(0x44, 2<<16|1)},

		{"static", "", "", u32(0x4c, 2)},
		{"undo", "vdi_undo", "", u32(0x4c, 3)},
		{"differencing", "vdi_differencing", "", u32(0x4c, 4)},
		{"link", "vdi_differencing", "", u32(0x1a8, 1)},
		{"end of link", "vdi_differencing", "", u32(0x1b4, 1<<31)},
		{"parent", "vdi_differencing", "", u32(0x1b8, 1)},
		{"end of parent", "vdi_differencing", "", u32(0x1c4, 1<<31)},
		{"type 0", "vdi_image_type", "", u32(0x4c, 0)},
		{"type 5", "vdi_image_type", "", u32(0x4c, 5)},

		{"sector size 0", "vdi_sector_size", "", u32(0x168, 0)},
		{"sector size 4096", "vdi_sector_size", "", u32(0x168, 4096)},
		{"block size 0", "vdi_block_size", "", u32(0x178, 0)},
		{"block size 2 MiB", "vdi_block_size", "", u32(0x178, 2*mib)},
		{"block size 1 MiB less a byte", "vdi_block_size", "", u32(0x178, mib-1)},
		{"block size odd", "vdi_block_size", "", u32(0x178, 0x110000)},
		{"something before each block", "vdi_block_size", "", u32(0x17c, 512)},

		{"disk of no size", "vdi_disk_size", "", u64(0x170, 0)},
		{"disk larger than its blocks", "vdi_disk_size", "", u64(0x170, 8*mib+1)},
		{"disk of the greatest size", "vdi_disk_size", "", u64(0x170, 1<<64-1)},
		{"a block too few", "vdi_disk_size", "", u32(0x180, 7)},
		{"no blocks", "vdi_disk_size", "", u32(0x180, 0)},
		{"more allocated than there are", "vdi_blocks", "", u32(0x184, 9)},
		{"too many blocks", "vdi_places", "", u32(0x180, 0x1fffff81)},
		{"most blocks there can be", "vdi_places", "", u32(0x180, 0xffffffff)},
		{"a map that just does not fit", "vdi_places", "", u32(0x180, 129)},
		{"a map that just fits", "", "", u32(0x180, 128)},
		{"512 TiB", "vdi_places", "", func(f *sparse) { f.put64(0x170, 512<<40-128*mib); f.put32(0x180, 512<<20-128) }},
		{"512 TiB, with room", "vdi_truncated", "vdi_block_duplicate", func(f *sparse) {
			f.put64(0x170, 512<<40-128*mib)
			f.put32(0x180, 512<<20-128)
			f.put32(0x158, 3<<30)
		}},

		{"small header", "vdi_header_size", "", u32(0x48, 0x17f)},
		{"header over the map", "vdi_header_size", "", u32(0x48, 512-0x48+1)},
		{"greatest header", "vdi_header_size", "", u32(0x48, 0xffffffff)},
		{"map in the header", "vdi_header_size", "", u32(0x154, 0)},
		{"map not aligned", "vdi_places", "", u32(0x154, 513)},
		{"map behind the data", "vdi_places", "", u32(0x154, 4096)},
		{"map at the end of 32 bits", "vdi_places", "", u32(0x154, 0xfffffe00)},
		{"data in the header", "vdi_places", "", u32(0x158, 0)},
		{"data over the map", "vdi_places", "", u32(0x158, 512)},
		{"data not aligned", "vdi_places", "", u32(0x158, 1025)},
		{"data beyond the end", "vdi_truncated", "vdi_truncated", u32(0x158, 0xfffffe00)},

		{"free block", "", "", entry(1, 0xffffffff)},
		{"zero block", "", "", entry(1, 0xfffffffe)},
		{"place beyond the blocks", "vdi_block_index", "", entry(1, 8)},
		{"place that is almost free", "vdi_block_index", "", entry(1, 0xfffffffd)},
		{"place beyond the end", "vdi_block_beyond_end", "vdi_truncated", entry(1, 3)},
		{"block cut short", "vdi_block_beyond_end", "vdi_truncated", func(f *sparse) { f.size -= 512 }},
		{"place twice", "vdi_block_duplicate", "", entry(1, 0)},
		{"last place twice", "vdi_block_duplicate", "", entry(7, 0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := build(disk{size: 8 * mib, present: []int{0, 7}})
			tc.damage(f)
			check(t, "known size", readAll(f, f.size), tc.code)
			late := tc.late
			if late == "" {
				late = tc.code
			}
			check(t, "unknown size", readAll(f, -1), late)
		})
	}
}

// check wants a refusal of a code, and in its message something to do.
func check(t *testing.T, name string, err error, code string) {
	t.Helper()
	r := refusal.As(err)
	if code == "" || r == nil {
		if codeOf(err) != code {
			t.Errorf("%s: got %v, want code %q", name, err, code)
		}
		return
	}
	if r.Code != code || r.Temporary {
		t.Errorf("%s: got %v, want code %q", name, err, code)
	}
	if !strings.Contains(r.Message, ":") && !strings.Contains(r.Message, "again") || strings.Contains(r.Message, "%!") {
		t.Errorf("%s: the message does not say what to do: %s", name, r.Message)
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	code, _, _ := strings.Cut(err.Error(), ":")
	return code
}

// readAll opens a disk and reads it by its map.
func readAll(r io.ReaderAt, size int64) error {
	d, err := Open(r, size)
	if err != nil {
		return err
	}
	b := make([]byte, mib)
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for off = start; off < end; off += min(mib, end-off) {
			if _, err := d.ReadAt(b[:min(mib, end-off)], off); err != nil {
				return err
			}
		}
	}
}

// failing fails at or after a place.
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

// TestReaderError: what the file's reader says is not the image's fault.
func TestReaderError(t *testing.T) {
	f := build(disk{size: 8 * mib, present: []int{0, 7}})
	broken := errors.New("connection reset")
	for _, from := range []int64{0, 0x44, 512, 513, 1024, mib, mib + 1024} {
		for _, size := range []int64{f.size, -1} {
			if err := readAll(failing{f, from, broken}, size); !errors.Is(err, broken) || refusal.As(err) != nil {
				t.Errorf("reads fail from %d on: got %v", from, err)
			}
		}
	}
}
