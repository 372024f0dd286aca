package importer_test

import (
	"bytes"

	"ingot/internal/disk/craft"
)

var vdiGuest = vdiDisk()

// vdiDisk is a disk whose third block is a hole.
func vdiDisk() []byte {
	b := craft.Guest(6*mib, 3)
	clear(b[2*mib : 3*mib])
	return b
}

func vdiCase(name, code string, change func(f *craft.File)) hostile {
	return hostile{name: name, code: code, guest: vdiGuest, make: func() []byte {
		f := craft.VDI(vdiGuest)
		change(f)
		return f.Bytes
	}}
}

// emptyVDI is a sound disk of that size without a block.
func emptyVDI(size int64) *craft.File {
	f := craft.VDI(nil)
	blocks := (size + mib - 1) / mib
	f.Put64(0x170, uint64(size))
	f.Put32(0x180, uint32(blocks))
	f.Put32(0x158, uint32((craft.VDIMapAt+4*blocks+511)/512*512))
	f.Write(craft.VDIMapAt, bytes.Repeat([]byte{0xff}, int(4*blocks))...)
	f.Grow((craft.VDIMapAt + 4*blocks + 511) / 512 * 512)
	return f
}

func vdi32(at int64, v uint32) func(*craft.File) { return func(f *craft.File) { f.Put32(at, v) } }
func vdi64(at int64, v uint64) func(*craft.File) { return func(f *craft.File) { f.Put64(at, v) } }

func vdiCases() []hostile {
	entry := func(block int64, v uint32) func(*craft.File) { return vdi32(craft.VDIMapAt+4*block, v) }
	return []hostile{
		vdiCase("sound", "", func(*craft.File) {}),
		vdiCase("static", "", vdi32(0x4c, 2)),
		vdiCase("undo", "vdi_undo", vdi32(0x4c, 3)),
		vdiCase("differencing", "vdi_differencing", vdi32(0x4c, 4)),
		vdiCase("type 0", "vdi_image_type", vdi32(0x4c, 0)),
		vdiCase("type 9", "vdi_image_type", vdi32(0x4c, 9)),
		vdiCase("link", "vdi_differencing", vdi32(0x1a8, 1)),
		vdiCase("parent", "vdi_differencing", vdi32(0x1c4, 1<<31)),
		vdiCase("version 2", "vdi_version", vdi32(0x44, 2<<16)),
		vdiCase("header size 0", "vdi_header_size", vdi32(0x48, 0)),
		vdiCase("header over the map", "vdi_header_size", vdi32(0x48, 0xffffffff)),
		vdiCase("map unaligned", "vdi_places", vdi32(0x154, 513)),
		vdiCase("map beyond the data", "vdi_places", vdi32(0x154, 0xfffffe00)),
		vdiCase("data unaligned", "vdi_places", vdi32(0x158, 1025)),
		vdiCase("data over the map", "vdi_places", vdi32(0x158, 512)),
		vdiCase("data beyond the end", "vdi_truncated", vdi32(0x158, 0xfffffe00)),
		vdiCase("disk over the bound", "vdi_disk_size", vdi64(0x170, 200_000_000_000)),
		{name: "disk at the bound", code: "disk_too_large", make: func() []byte { return emptyVDI(100_000_000_000).Bytes }},
		vdiCase("disk larger than its blocks", "vdi_disk_size", vdi64(0x170, 6*mib+1)),
		vdiCase("disk of no size", "vdi_disk_size", vdi64(0x170, 0)),
		vdiCase("512 TiB", "vdi_places", func(f *craft.File) { f.Put64(0x170, 512<<40-128*mib); f.Put32(0x180, 512<<20-128) }),
		vdiCase("512 TiB with room for the map", "vdi_truncated", func(f *craft.File) {
			f.Put64(0x170, 512<<40-128*mib)
			f.Put32(0x180, 512<<20-128)
			f.Put32(0x158, 3<<30)
		}),
		vdiCase("block size 0", "vdi_block_size", vdi32(0x178, 0)),
		vdiCase("block size 2 MiB", "vdi_block_size", vdi32(0x178, 2*mib)),
		vdiCase("block size 0xfffff", "vdi_block_size", vdi32(0x178, 0xfffff)),
		vdiCase("block size 0x110000", "vdi_block_size", vdi32(0x178, 0x110000)),
		vdiCase("block extra", "vdi_block_size", vdi32(0x17c, 512)),
		vdiCase("blocks too few", "vdi_disk_size", vdi32(0x180, 5)),
		vdiCase("blocks 0x1fffff81", "vdi_places", vdi32(0x180, 0x1fffff81)),
		vdiCase("more allocated than there are", "vdi_blocks", vdi32(0x184, 7)),
		vdiCase("entry beyond the blocks", "vdi_block_index", entry(2, 6)),
		vdiCase("entry beyond the end", "vdi_block_beyond_end", entry(2, 5)),
		vdiCase("entry twice", "vdi_block_duplicate", entry(2, 0)),
		vdiCase("hole of zeros", "", entry(2, 0xfffffffe)),
		vdiCase("sector size 4096", "vdi_sector_size", vdi32(0x168, 4096)),
		vdiCase("cut in half", "vdi_block_beyond_end", func(f *craft.File) { f.Bytes = f.Bytes[:len(f.Bytes)/2] }),
		vdiCase("cut in the header", "vdi_truncated", func(f *craft.File) { f.Bytes = f.Bytes[:0x100] }),
	}
}
