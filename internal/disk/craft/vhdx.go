package craft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Places in a crafted VHDX file.
const (
	VHDXHeader1  = 64 * kib
	VHDXHeader2  = 128 * kib
	VHDXRegions1 = 192 * kib
	VHDXRegions2 = 256 * kib
	VHDXLogAt    = 1 * mib
	VHDXMetaAt   = 2 * mib
	VHDXBATAt    = 3 * mib
	VHDXDataAt   = 4 * mib
	VHDXItemsAt  = VHDXMetaAt + 64*kib
)

// GUIDs of the VHDX format specification ([MS-VHDX], 2.2.3.2 and 2.6.2).
const (
	VHDXBATRegion     = "2DC27766-F623-4200-9D64-115E9BFD4A08"
	VHDXMetaRegion    = "8B7CA206-4790-4B9A-B8FE-575F050F886E"
	VHDXParameters    = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
	VHDXDiskSize      = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
	VHDXDiskID        = "BECA12AB-B2E6-4523-93EF-C309E000C746"
	VHDXLogical       = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
	VHDXPhysical      = "CDA348C7-445D-4471-9CC9-E9885251C556"
	VHDXParentLocator = "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"
)

// VHDX is a VHDX file of 1 MiB blocks.
type VHDX struct{ File }

func binaryGUID(text string) []byte {
	var a uint32
	var b, c uint16
	var d [8]byte
	if n, err := fmt.Sscanf(text, "%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X", &a, &b, &c,
		&d[0], &d[1], &d[2], &d[3], &d[4], &d[5], &d[6], &d[7]); n != 11 {
		panic(err)
	}
	le := binary.LittleEndian
	return append(le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, a), b), c), d[:]...)
}

// NewVHDX makes a dynamic VHDX file. Blocks of zeros are left out.
func NewVHDX(guest []byte) *VHDX {
	le := binary.LittleEndian
	v := &VHDX{}
	v.Text(0, "vhdxfile")
	for i, at := range []int64{VHDXHeader1, VHDXHeader2} {
		v.Text(at, "head")
		v.Put64(at+8, uint64(7+i))
		v.Put16(at+66, 1)
		v.Put32(at+68, mib)
		v.Put64(at+72, VHDXLogAt)
	}
	for _, at := range []int64{VHDXRegions1, VHDXRegions2} {
		v.Text(at, "regi")
		v.Put32(at+8, 2)
		v.Region(at, 0, VHDXBATRegion, VHDXBATAt, mib, 1)
		v.Region(at, 1, VHDXMetaRegion, VHDXMetaAt, mib, 1)
	}
	v.Text(VHDXMetaAt, "metadata")
	v.Grow(VHDXDataAt)
	v.Item(VHDXParameters, 0, le.AppendUint32(le.AppendUint32(nil, mib), 0))
	v.Item(VHDXDiskSize, 6, le.AppendUint64(nil, uint64(len(guest))))
	v.Item(VHDXDiskID, 6, make([]byte, 16))
	v.Item(VHDXLogical, 6, le.AppendUint32(nil, 512))
	v.Item(VHDXPhysical, 6, le.AppendUint32(nil, 4096))
	for i := 0; i*mib < len(guest); i++ {
		b := guest[i*mib : min((i+1)*mib, len(guest))]
		if bytes.Count(b, []byte{0}) < len(b) {
			v.Block(int64(i), uint64(v.add(b, mib))|6)
		}
	}
	v.Seal()
	return v
}

// Region writes an entry of a region table.
func (v *VHDX) Region(table, i int64, id string, off uint64, length, required uint32) {
	at := table + 16 + i*32
	v.Write(at, binaryGUID(id)...)
	v.Put64(at+16, off)
	v.Put32(at+24, length)
	v.Put32(at+28, required)
}

// Item adds an entry to the metadata table and its value behind the others.
func (v *VHDX) Item(id string, flags uint32, value []byte) {
	n := int64(binary.LittleEndian.Uint16(v.Bytes[VHDXMetaAt+10:]))
	v.Put16(VHDXMetaAt+10, uint16(n+1))
	at := VHDXMetaAt + (n+1)*32
	v.Write(at, binaryGUID(id)...)
	v.Put32(at+16, uint32(64*kib+n*32))
	v.Put32(at+20, uint32(len(value)))
	v.Put32(at+24, flags)
	v.Write(VHDXItemsAt+n*32, value...)
}

// Block sets the block allocation table's entry of a block.
func (v *VHDX) Block(i int64, entry uint64) { v.Put64(VHDXBATAt+8*i, entry) }

// Headers edits both headers, Tables both region tables; the checksums are made right again.
func (v *VHDX) Headers(edit func(at int64)) { v.both(VHDXHeader1, VHDXHeader2, edit) }

// Tables is described at Headers.
func (v *VHDX) Tables(edit func(at int64)) { v.both(VHDXRegions1, VHDXRegions2, edit) }

func (v *VHDX) both(first, second int64, edit func(at int64)) {
	edit(first)
	edit(second)
	v.Seal()
}

// Seal makes the checksums of headers and region tables right.
func (v *VHDX) Seal() {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for at, n := range map[int64]int64{VHDXHeader1: 4 * kib, VHDXHeader2: 4 * kib, VHDXRegions1: 64 * kib, VHDXRegions2: 64 * kib} {
		v.Put32(at+4, 0)
		v.Put32(at+4, crc32.Checksum(v.Bytes[at:at+n], castagnoli))
	}
}

// Log makes the file dirty: its log holds one entry, which writes a sector of 4 KiB at off.
func (v *VHDX) Log(off uint64, sector []byte) {
	le := binary.LittleEndian
	id := bytes.Repeat([]byte{7}, 16)
	v.Headers(func(at int64) { v.Write(at+48, id...) })
	size := uint64(len(v.Bytes))
	e := &File{}
	e.Text(0, "loge")
	e.Put32(8, 8*kib)
	e.Put64(16, 1)
	e.Put32(24, 1)
	e.Write(32, id...)
	e.Put64(48, size)
	e.Put64(56, size)
	e.Text(64, "desc")
	e.Write(68, sector[4092:]...)
	e.Write(72, sector[:8]...)
	e.Put64(80, off)
	e.Put64(88, 1)
	e.Grow(4 * kib)
	e.Text(4*kib, "data")
	e.Write(4*kib+8, sector[8:4092]...)
	e.Put32(8*kib-4, 1)
	le.PutUint32(e.Bytes[4:], crc32.Checksum(e.Bytes, crc32.MakeTable(crc32.Castagnoli)))
	v.Write(VHDXLogAt, e.Bytes...)
}
