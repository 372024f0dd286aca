package importer_test

import (
	"bytes"
	"math"

	"ingot/internal/disk/craft"
)

var vhdxGuest = vdiDisk()

func vhdxCase(name, code string, change func(v *craft.VHDX)) hostile {
	return hostile{name: name, code: code, guest: vhdxGuest, make: func() []byte {
		v := craft.NewVHDX(vhdxGuest)
		change(v)
		return v.Bytes
	}}
}

func vhdxHeaders() []hostile {
	header := func(field int64, v uint16) func(*craft.VHDX) {
		return func(x *craft.VHDX) { x.Headers(func(at int64) { x.Put16(at+field, v) }) }
	}
	regions := func(edit func(v *craft.VHDX, at int64)) func(*craft.VHDX) {
		return func(v *craft.VHDX) { v.Tables(func(at int64) { edit(v, at) }) }
	}
	third := func(id string, off uint64, required uint32) func(*craft.VHDX) {
		return regions(func(v *craft.VHDX, at int64) { v.Put32(at+8, 3); v.Region(at, 2, id, off, mib, required) })
	}
	const unknown = "00000000-1111-2222-3333-444444444444"
	return []hostile{
		vhdxCase("sound", "", func(*craft.VHDX) {}),
		vhdxCase("log to replay", "", func(v *craft.VHDX) { v.Log(craft.VHDXBATAt+4096, make([]byte, 4096)) }),
		vhdxCase("log without an entry", "vhdx_log_empty", func(v *craft.VHDX) {
			v.Headers(func(at int64) { v.Write(at+48, 1) })
		}),
		vhdxCase("log entry damaged", "vhdx_log_empty", func(v *craft.VHDX) {
			v.Log(craft.VHDXBATAt+4096, make([]byte, 4096))
			v.Write(craft.VHDXLogAt+4096, 'D')
		}),
		vhdxCase("headers damaged", "vhdx_headers", func(v *craft.VHDX) { v.Put32(craft.VHDXHeader1+4, 0); v.Put32(craft.VHDXHeader2+4, 0) }),
		vhdxCase("headers of one number", "vhdx_headers_ambiguous", func(v *craft.VHDX) {
			v.Headers(func(at int64) { v.Put64(at+8, 8); v.Write(at+20, byte(at>>16)) })
		}),
		vhdxCase("version 2", "vhdx_version", header(66, 2)),
		vhdxCase("log version 1", "vhdx_log_version", header(64, 1)),
		vhdxCase("region tables damaged", "vhdx_region_table", func(v *craft.VHDX) { v.Put32(craft.VHDXRegions1+4, 0); v.Put32(craft.VHDXRegions2+4, 0) }),
		vhdxCase("2048 regions", "vhdx_region_count", regions(func(v *craft.VHDX, at int64) { v.Put32(at+8, 2048) })),
		vhdxCase("2^32-1 regions", "vhdx_region_count", regions(func(v *craft.VHDX, at int64) { v.Put32(at+8, math.MaxUint32) })),
		vhdxCase("regions overlap", "vhdx_region_overlap", regions(func(v *craft.VHDX, at int64) { v.Put64(at+32, craft.VHDXMetaAt) })),
		vhdxCase("unknown required region", "vhdx_region_unknown", third(unknown, 4*mib, 1)),
		vhdxCase("BAT twice", "vhdx_region_duplicate", third(craft.VHDXBATRegion, 4*mib, 1)),
		vhdxCase("metadata twice", "vhdx_region_duplicate", third(craft.VHDXMetaRegion, 4*mib, 1)),
		vhdxCase("region in the headers", "vhdx_region_bounds", regions(func(v *craft.VHDX, at int64) { v.Put64(at+32, 0) })),
		vhdxCase("region unaligned", "vhdx_region_bounds", regions(func(v *craft.VHDX, at int64) { v.Put64(at+32, craft.VHDXBATAt+4096) })),
		vhdxCase("cut in the headers", "vhdx_truncated", func(v *craft.VHDX) { v.Bytes = v.Bytes[:100*kib] }),
		vhdxCase("cut in half", "vhdx_block_beyond_end", func(v *craft.VHDX) { v.Bytes = v.Bytes[:5*mib+1] }),
	}
}

func vhdxMetadata() []hostile {
	item := func(i, field int64, value uint32) func(*craft.VHDX) {
		return func(v *craft.VHDX) { v.Put32(craft.VHDXMetaAt+(i+1)*32+16+field, value) }
	}
	value := func(i int64, value uint32) func(*craft.VHDX) {
		return func(v *craft.VHDX) { v.Put32(craft.VHDXItemsAt+i*32, value) }
	}
	size := func(n uint64) func(*craft.VHDX) {
		return func(v *craft.VHDX) { v.Put64(craft.VHDXItemsAt+32, n) }
	}
	block := func(entry uint64) func(*craft.VHDX) { return func(v *craft.VHDX) { v.Block(2, entry) } }
	const unknown = "00000000-1111-2222-3333-444444444444"
	return []hostile{
		vhdxCase("differencing", "vhdx_differencing", func(v *craft.VHDX) { v.Write(craft.VHDXItemsAt+4, 2) }),
		vhdxCase("parent locator", "vhdx_differencing", func(v *craft.VHDX) { v.Item(craft.VHDXParentLocator, 4, bytes.Repeat([]byte{1}, 20)) }),
		vhdxCase("2048 items", "vhdx_metadata_count", func(v *craft.VHDX) { v.Put16(craft.VHDXMetaAt+10, 2048) }),
		vhdxCase("item beyond the region", "vhdx_metadata_bounds", item(0, 0, mib-7)),
		vhdxCase("item of 2^32-1 bytes", "vhdx_metadata_bounds", item(0, 4, math.MaxUint32)),
		vhdxCase("unknown required item", "vhdx_metadata_unknown", func(v *craft.VHDX) { v.Item(unknown, 4, []byte{1}) }),
		vhdxCase("item twice", "vhdx_metadata_duplicate", func(v *craft.VHDX) { v.Item(craft.VHDXDiskSize, 6, make([]byte, 8)) }),
		vhdxCase("item missing", "vhdx_metadata_missing", func(v *craft.VHDX) { v.Put16(craft.VHDXMetaAt+10, 4) }),
		vhdxCase("block size 0", "vhdx_block_size", value(0, 0)),
		vhdxCase("block size 512 KiB", "vhdx_block_size", value(0, 512*kib)),
		vhdxCase("block size 512 MiB", "vhdx_block_size", value(0, 512*mib)),
		vhdxCase("block size 3 MiB", "vhdx_block_size", value(0, 3*mib)),
		vhdxCase("sectors of 1024 bytes", "vhdx_sector_size", value(3, 1024)),
		vhdxCase("64 TiB and a sector", "vhdx_disk_size", size(64<<40+512)),
		vhdxCase("size 2^64-1", "vhdx_disk_size", size(math.MaxUint64)),
		vhdxCase("size not a multiple of a sector", "vhdx_disk_size", size(mib+256)),
		vhdxCase("size at the bound", "disk_too_large", size(100_000_000_000/512*512+512)),
		vhdxCase("BAT too short", "vhdx_bat_short", size(64<<40)),
		vhdxCase("block beyond the end", "vhdx_block_beyond_end", block(1<<40|6)),
		vhdxCase("block in the log", "vhdx_block_overlap", block(craft.VHDXLogAt|6)),
		vhdxCase("block twice", "vhdx_block_duplicate", block(craft.VHDXDataAt|6)),
		vhdxCase("partially present block", "vhdx_block_partial", block(7)),
		vhdxCase("block state 4", "vhdx_block_state", block(4)),
		vhdxCase("block state 5", "vhdx_block_state", block(5)),
		vhdxCase("reserved bits", "vhdx_block_reserved", block(1<<19)),
	}
}
