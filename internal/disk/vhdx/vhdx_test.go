package vhdx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
)

func TestMatch(t *testing.T) {
	for head, want := range map[string]bool{
		"vhdxfile": true, "vhdxfile and more": true, "vhdxfil": false, "": false, "VHDXFILE": false, " vhdxfile": false,
	} {
		if got := Match([]byte(head)); got != want {
			t.Errorf("Match(%q) = %v, want %v", head, got, want)
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

// TestOracle reads what qemu-img and qemu-io make, whole.
func TestOracle(t *testing.T) {
	for i, tc := range []struct {
		options string
		size    int64
		writes  int
	}{
		{"", 16 * mib, 0},
		{"", 16 * mib, 30},
		{"block_size=1M", 20 * mib, 60},
		{"block_size=1M", 20*mib + 512, 60},
		{"block_size=2M,log_size=2M", 33*mib + 3*512, 40},
		{"block_size=8M", 41 * mib, 12},
		{"block_size=32M", 41 * mib, 6},
		{"subformat=fixed", 10 * mib, 20},
		{"subformat=fixed,block_state_zero=off", 10*mib + 512, 20},
		{"subformat=fixed,block_state_zero=off,block_size=1M", 7*mib + 1536, 20},
		{"subformat=dynamic,block_state_zero=off,block_size=1M", 9 * mib, 20},
		{"", 512, 1},
	} {
		t.Run(fmt.Sprintf("%s %d", tc.options, tc.size), func(t *testing.T) {
			path := disktest.Image(t, "vhdx", tc.options, tc.size, tc.writes, uint64(i))
			want := disktest.Raw(t, path, "vhdx")
			open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
		})
	}
}

func TestConverted(t *testing.T) {
	raw := disktest.RandomRaw(t, 24*mib+512, 5)
	want := disktest.Raw(t, raw, "raw")
	for _, options := range []string{"block_size=1M", "block_size=4M", "subformat=fixed"} {
		t.Run(options, func(t *testing.T) {
			path := disktest.Convert(t, raw, "vhdx", "raw", "-o", options)
			open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
		})
	}
}

// TestLarge reads disks that cross the chunk ratio, where a sector bitmap's entry stands in the table, and such of the
// largest blocks. They are too large to compare in memory.
func TestLarge(t *testing.T) {
	for i, tc := range []struct {
		options string
		size    int64
		at      []int64
	}{
		{"block_size=1M", 13 * gib, []int64{0, 4*gib - 512, 4 * gib, 8*gib - mib, 8*gib + 7*mib, 13*gib - 512}},
		{"block_size=2M", 9 * gib, []int64{4*gib - 512, 4 * gib, 8*gib - 512, 8 * gib, 511 * 2 * mib, 512 * 2 * mib}},
		{"block_size=256M", 5 * gib, []int64{4*gib + mib}},
		{"block_size=32M,subformat=fixed", 4*gib + 64*mib, []int64{4 * gib, mib}},
	} {
		t.Run(tc.options, func(t *testing.T) {
			path := disktest.Image(t, "vhdx", tc.options, tc.size, 0, 0)
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			rng.Shuffle(len(tc.at), func(a, b int) { tc.at[a], tc.at[b] = tc.at[b], tc.at[a] })
			args := []string{"-f", "vhdx"}
			for n, at := range tc.at {
				args = append(args, "-c", fmt.Sprintf("write -q -P %d %d 512", n+1, at))
			}
			disktest.Run(t, "qemu-io", append(args, path)...)
			raw := disktest.Convert(t, path, "raw", "vhdx")
			open(t, path, func(t *testing.T, d *Disk) { sameAs(t, d, raw) })
		})
	}
}

// sameAs compares a disk with a raw file by both maps: what the disk maps is in the file, and what the file has data
// in is not in the disk's holes unless it is zero.
func sameAs(t *testing.T, d *Disk, raw string) {
	t.Helper()
	f, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != d.Size() {
		t.Fatalf("Size() = %d, the oracle's has %d, %v", d.Size(), st.Size(), err)
	}
	a, b := make([]byte, mib), make([]byte, mib)
	for at := int64(0); at < d.Size(); {
		start, end, err := d.NextData(at)
		if errors.Is(err, io.EOF) {
			start, end = d.Size(), d.Size()
		} else if err != nil {
			t.Fatal(err)
		}
		zeroBetween(t, f, at, start)
		for at = start; at < end; at += mib {
			n := min(mib, end-at)
			if _, err := d.ReadAt(a[:n], at); err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadAt(b[:n], at); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a[:n], b[:n]) {
				t.Fatalf("the disk differs from the oracle in [%d, %d)", at, at+n)
			}
		}
		at = end
	}
}

// zeroBetween checks that a sparse file has only zeros in a range, looking where it has data.
func zeroBetween(t *testing.T, f *os.File, start, end int64) {
	t.Helper()
	const seekData = 3
	b := make([]byte, 64*kib)
	for start < end {
		at, err := f.Seek(start, seekData)
		if err != nil || at >= end {
			return
		}
		n, err := f.ReadAt(b[:min(int64(len(b)), end-at)], at)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.TrimLeft(string(b[:n]), "\x00"); i != "" {
			t.Fatalf("the disk has a hole where the oracle has data, in [%d, %d)", at, at+int64(n))
		}
		start = at + int64(n)
	}
}

// TestTruncated cuts a file at many places. Its last block ends where the file does, so that each cut takes data away.
func TestTruncated(t *testing.T) {
	path := disktest.Image(t, "vhdx", "block_size=1M", 12*mib, 20, 3)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cuts := []int{0, 1, 7, 8, 511, 512, 64 * kib, 64*kib + 4095, 128 * kib, 192*kib + 100, 256 * kib, 320*kib - 1,
		320 * kib, mib, 2*mib - 1, 2 * mib, 2*mib + 8, 3 * mib, 3*mib + 64*kib, 3*mib + 64*kib + 5, 4 * mib, len(whole) - 1}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		cuts = append(cuts, rng.IntN(len(whole)))
	}
	for _, n := range cuts {
		for _, size := range []int64{int64(n), -1} {
			err := readAll(bytes.NewReader(whole[:n]), size)
			if code := codeOf(err); code != "vhdx_truncated" && (size < 0 || code != "vhdx_block_beyond_end") {
				t.Errorf("cut at %d, size %d: %v", n, size, err)
			}
		}
	}
}

// TestSectors4K reads a disk of 4 KiB sectors, which has a chunk ratio of its own, and which qemu cannot make.
func TestSectors4K(t *testing.T) {
	d := disk{size: 40 * gib, sector: 4096, present: []int{32767, 0, 32768, 40*1024 - 1}}
	checkBlocks(t, build(d), d)
}

// TestBlockSizes crosses the chunk ratio with every block size.
func TestBlockSizes(t *testing.T) {
	for block := uint32(mib); block <= 256*mib; block *= 2 {
		ratio := int(4 * gib / int64(block))
		d := disk{size: uint64(9 * gib), block: block, present: []int{ratio, ratio - 1, 2 * ratio, 2*ratio - 1, 0}}
		checkBlocks(t, build(d), d)
	}
}

// checkBlocks checks that the present blocks are read at their places, and that nothing else is data.
func checkBlocks(t *testing.T, f *sparse, want disk) {
	t.Helper()
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	block := int64(or(want.block, mib))
	var data int64
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data += end - start
		off = end
	}
	if data != int64(len(want.present))*block {
		t.Errorf("block size %d: %d bytes are data, want %d blocks", block, data, len(want.present))
	}
	for _, b := range want.present {
		for _, at := range []int64{0, block / 2, block - 256*kib} {
			p := pattern(b, at)
			got := make([]byte, len(p))
			if _, err := d.ReadAt(got, int64(b)*block+at); err != nil || !bytes.Equal(got, p) {
				t.Errorf("block size %d: block %d at %d = %q, %v", block, b, at, got, err)
			}
		}
	}
}

// TestHoles reads blocks of every state that has no data, whatever place they name.
func TestHoles(t *testing.T) {
	d := disk{present: []int{0, 5}}
	f := build(d)
	for state := range uint64(4) {
		f.place(d, int(state)+1, dataAt+int64(state)*mib, state)
	}
	checkBlocks(t, f, d)
	disk, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Repeat([]byte{1}, 4*mib)
	if _, err := disk.ReadAt(b, mib); err != nil || len(bytes.TrimLeft(b, "\x00")) > 0 {
		t.Errorf("blocks without data are not read as zeros: %v", err)
	}
}

// TestBitmapEntries: qemu before 8.0 left copies of payload entries where those of sector bitmaps stand.
func TestBitmapEntries(t *testing.T) {
	d := disk{size: 5 * gib, present: []int{4095, 4096}}
	f := build(d)
	f.put64(batAt+8*4096, dataAt|fullyPresent)
	checkBlocks(t, f, d)
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

func copyFile(t *testing.T, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.vhdx")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}
