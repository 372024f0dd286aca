package disk_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ingot/internal/disk"
	"ingot/internal/disk/craft"
	"ingot/internal/disk/disktest"
)

// FuzzOpen reads any file the way an import does.
func FuzzOpen(f *testing.F) {
	guest := craft.Guest(64*kib, 1)
	tiny := craft.Setting{Version: 3, ClusterBits: 9, Size: 64 * kib}
	zstd := craft.Setting{Version: 3, ClusterBits: 12, Size: 64 * kib, Zstd: true}
	f.Add(craft.NewQCOW2(tiny).Fill(guest).Bytes, true)
	f.Add(craft.NewQCOW2(zstd).Fill(guest).Bytes, false)
	f.Add(craft.SparseVMDK(guest, craft.SparseDescriptor).Bytes, true)
	f.Add(craft.StreamVMDK(guest, craft.StreamDescriptor).Bytes, false)
	f.Add(craft.VDI(guest).Bytes[:64*kib], true)
	f.Add(guest, true)
	f.Add([]byte("# Disk DescriptorFile\nversion=1\n"), false)
	f.Fuzz(func(t *testing.T, file []byte, known bool) {
		size := int64(-1)
		if known {
			size = int64(len(file))
		}
		_, err := read(file, size)
		reason(t, "a file", err)
	})
}

// patched applies patches of five bytes - three of place, what to do, a value - to a sound image. So the fuzzer gets
// at every field of images that are too large for it.
func patched(file, patches []byte) []byte {
	file = bytes.Clone(file)
	for ; len(patches) >= 5; patches = patches[5:] {
		at := int(patches[0])<<16 | int(patches[1])<<8 | int(patches[2])
		if at %= len(file) + 1; at == len(file) {
			continue
		}
		switch value := patches[4]; patches[3] % 4 {
		case 0:
			file[at] = value
		case 1:
			file[at] ^= value
		case 2:
			file = file[:at]
		case 3: // a number of eight bytes that is near a power of two
			binary.LittleEndian.PutUint64(file[min(at, len(file)-8):], 1<<(value%64)-uint64(value>>6))
		}
		if len(file) < 8 {
			break
		}
	}
	return file
}

func addPatches(f *testing.F) {
	for kind := range len(samples()) {
		f.Add(byte(kind), []byte{0, 0, 70, 0, 1})
		f.Add(byte(kind), []byte{0, 0x20, 0, 1, 0x80, 0, 0, 24, 3, 40})
		f.Add(byte(kind), []byte{8, 0, 0, 2, 0})
	}
}

// FuzzDamaged reads sound images of every format after any patches.
func FuzzDamaged(f *testing.F) {
	addPatches(f)
	all := samples()
	f.Fuzz(func(t *testing.T, kind byte, patches []byte) {
		file := patched(all[int(kind)%len(all)].file, patches)
		known, errKnown := read(file, int64(len(file)))
		reason(t, "size known", errKnown)
		late, errLate := read(file, -1)
		reason(t, "size unknown", errLate)
		if errKnown == nil && errLate == nil && !bytes.Equal(known, late) {
			t.Error("what is read depends on whether the file's size is known")
		}
	})
}

// FuzzAgainstQemu compares what both we and qemu-img read.
func FuzzAgainstQemu(f *testing.F) {
	disktest.NeedTool(f, "qemu-img")
	addPatches(f)
	all := samples()
	f.Fuzz(func(t *testing.T, kind byte, patches []byte) {
		s := all[int(kind)%len(all)]
		file := patched(s.file, patches)
		format, err := disk.Recognise(file[:min(len(file), disk.HeadSize)])
		if err != nil || format != s.format {
			return
		}
		if got, err := read(file, int64(len(file))); err == nil {
			compare(t, s, file, got, "a patched "+s.name)
		}
	})
}
