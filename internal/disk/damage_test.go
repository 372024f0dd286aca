package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/craft"
	"ingot/internal/disk/disktest"
	"ingot/internal/disk/raw"
	"ingot/internal/refusal"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	// largest is the largest guest disk that these tests read; a damaged size may be any.
	largest = 64 * mib
)

// sample is a small sound image, its guest's disk, and how much of its beginning is mostly metadata.
type sample struct {
	name, format string
	file, guest  []byte
	metadata     int
}

func samples() []sample {
	guest := craft.Guest(1*mib, 11)
	small := craft.Setting{Version: 3, ClusterBits: 12, Size: 1 * mib}
	zstd, v2 := small, small
	zstd.Zstd, v2.Version = true, 2
	holes := make([]byte, 4*mib)
	copy(holes, guest)
	copy(holes[3*mib:], craft.Guest(300*kib, 12))
	return []sample{
		{"qcow2 v3", disk.QCOW2, craft.NewQCOW2(small).Fill(guest).Bytes, guest, 20 * kib},
		{"qcow2 v2", disk.QCOW2, craft.NewQCOW2(v2).Fill(guest).Bytes, guest, 20 * kib},
		{"qcow2 zstd", disk.QCOW2, craft.NewQCOW2(zstd).Fill(guest).Bytes, guest, 20 * kib},
		{"VMDK sparse", disk.VMDK, craft.SparseVMDK(guest, craft.SparseDescriptor).Bytes, guest, 14 * kib},
		{"VMDK stream", disk.VMDK, craft.StreamVMDK(guest, craft.StreamDescriptor).Bytes, guest, 12 * kib},
		{"VDI", disk.VDI, craft.VDI(holes).Bytes, holes, 1 * kib},
		{"VHDX", disk.VHDX, craft.NewVHDX(holes).Bytes, holes, 4 * mib},
	}
}

// read does what an import does: recognise, open, read by the map. An error is a reason to refuse.
func read(file []byte, size int64) ([]byte, error) {
	head := file[:min(len(file), disk.HeadSize)]
	format, err := disk.Recognise(head)
	if err != nil {
		return nil, err
	}
	var d disk.Disk
	if format == disk.Raw {
		d, err = raw.NewStream(bytes.NewReader(file), head, size)
	} else {
		d, err = disk.Open(format, bytes.NewReader(file), size, nil)
	}
	if err != nil {
		return nil, err
	}
	return contents(d)
}

var errTooLarge = errors.New("the disk is too large for this test")

func contents(d disk.Disk) ([]byte, error) {
	var all []byte
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if err == nil && (start < off || end <= start) {
			return nil, fmt.Errorf("NextData(%d) = [%d, %d)", off, start, end)
		}
		size := end
		if err == io.EOF {
			size = d.Size()
		}
		if size > largest {
			return nil, errTooLarge
		}
		all = append(all, make([]byte, max(0, size-int64(len(all))))...)
		if err == io.EOF {
			return all, nil
		}
		if n, err := d.ReadAt(all[start:end], start); int64(n) < end-start {
			return nil, fmt.Errorf("reading %d bytes at %d: %w", end-start, start, err)
		}
		off = end
	}
}

// reason fails the test unless an error is one that an import may end with.
func reason(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && refusal.As(err) == nil && !errors.Is(err, errTooLarge) {
		t.Errorf("%s: an error that is no refusal: %v", what, err)
	}
}

// TestCut cuts each format at a hundred places and more. What is still read must be the whole disk: nothing that is
// not in the file may stand for what is missing.
func TestCut(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 1))
			accepted := 0
			for i := range 200 {
				at := rng.IntN(len(s.file))
				if i%2 == 0 {
					at = rng.IntN(s.metadata)
				}
				for _, size := range []int64{int64(at), -1} {
					got, err := read(s.file[:at], size)
					reason(t, fmt.Sprint("cut at ", at), err)
					if err != nil {
						continue
					}
					accepted++
					if !bytes.Equal(got, s.guest) {
						t.Errorf("cut at %d, size %d: read as a disk of %d bytes that is not the original", at, size, len(got))
					}
				}
			}
			t.Logf("%d of 400 cut files hold the whole disk", accepted)
		})
	}
}

// flips is how many bits are flipped in each format; all of those that are still read are compared with what qemu-img
// reads if INGOT_DAMAGE is "full", else some.
const flips = 1000

// TestFlippedBits flips single bits, most of them in metadata. Whatever both we and qemu-img read must be the same.
func TestFlippedBits(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	share := 25
	if os.Getenv("INGOT_DAMAGE") == "full" {
		share = 1
	}
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(2, 2))
			file, said := bytes.Clone(s.file), s.said()
			var refused, read, compared int
			for i := range flips {
				at := flipAt(rng, s, said)
				bit := byte(1) << rng.IntN(8)
				file[at] ^= bit
				if got, ok := flipped(t, s, file, i, at); !ok {
					refused++
				} else if read++; read%share == 0 && compare(t, s, file, got, fmt.Sprintf("bit %#x of byte %d", bit, at)) {
					compared++
				}
				file[at] ^= bit
			}
			t.Logf("%d refused, %d read, %d of those read by qemu-img too and compared", refused, read, compared)
		})
	}
}

// flipAt chooses a byte: three times of four one in the metadata that is not zero, since those say something.
func flipAt(rng *rand.Rand, s sample, said []int) int {
	if rng.IntN(4) > 0 {
		return said[rng.IntN(len(said))]
	}
	return rng.IntN(len(s.file))
}

// said are the bytes of the metadata that are not zero.
func (s sample) said() (at []int) {
	for i, v := range s.file[:s.metadata] {
		if v != 0 {
			at = append(at, i)
		}
	}
	return at
}

// flipped reads a damaged file and holds it to its bound of memory: what it reads and as much again.
func flipped(t *testing.T, s sample, file []byte, i, at int) ([]byte, bool) {
	t.Helper()
	size := int64(len(file))
	if i%2 == 1 {
		size = -1
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := read(file, size)
	runtime.ReadMemStats(&after)
	reason(t, fmt.Sprint("byte ", at), err)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 3*uint64(len(got))+uint64(len(file))+48*mib {
		t.Errorf("byte %d: reading took %d bytes of memory", at, grown)
	}
	return got, err == nil
}

// compare has qemu-img read a file and compares, unless qemu-img refuses it. It reports whether it compared.
func compare(t *testing.T, s sample, file, got []byte, what string) bool {
	t.Helper()
	want, ok := qemuReads(t, s.format, file)
	if !ok {
		return false
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s: we read %d bytes and qemu-img %d; they differ first at guest byte %d", what, len(got), len(want), at)
	}
	return true
}

func qemuReads(t *testing.T, format string, file []byte) ([]byte, bool) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.Command("qemu-img", "convert", "-f", format, "-O", "raw", in, out).Run() != nil {
		return nil, false
	}
	defer os.Remove(in)
	defer os.Remove(out)
	info, err := os.Stat(out)
	if err != nil || info.Size() > largest {
		return nil, false
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b, true
}
