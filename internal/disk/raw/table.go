package raw

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

const gptMagic = "EFI PART"

// leastSize returns how many bytes the disk must have by its partition table; 0 where the table does not say. It is
// meant to find images that were cut off, and to refuse no disk that works:
//
//   - A GPT with a valid header needs the place of its backup header ("GPT Header", AlternateLBA; UEFI Specification).
//   - An MBR without one needs the first sector of each primary partition. Where partitions end does not count: OpenWrt's
//     images end before their last partition does, and hybrid ISO images are rounded up to a cylinder.
//   - A table with a protective entry but no valid header says nothing, nor does what stands in a file system's boot
//     sector where an MBR has its table.
func leastSize(head []byte) int64 {
	for _, sector := range []int64{512, 4096} {
		if n := gptSize(head, sector); n > 0 {
			return n
		}
	}
	return mbrSize(head)
}

// gptSize returns 0 without a valid header at sector 1.
func gptSize(head []byte, sector int64) int64 {
	if !has(head, int(sector), gptMagic) || int64(len(head)) < 2*sector {
		return 0
	}
	b := head[sector : 2*sector]
	n := binary.LittleEndian.Uint32(b[12:])
	if n < 92 || int64(n) > sector || !checksumOK(b[:n]) || binary.LittleEndian.Uint64(b[24:]) != 1 {
		return 0
	}
	alternate := binary.LittleEndian.Uint64(b[32:])
	if alternate >= math.MaxInt64/uint64(sector) {
		return math.MaxInt64
	}
	return (int64(alternate) + 1) * sector
}

// checksumOK compares the header's CRC-32, which is made with its own field zero.
func checksumOK(header []byte) bool {
	sum := crc32.ChecksumIEEE(header[:16])
	sum = crc32.Update(sum, crc32.IEEETable, make([]byte, 4))
	sum = crc32.Update(sum, crc32.IEEETable, header[20:])
	return sum == binary.LittleEndian.Uint32(header[16:])
}

func mbrSize(head []byte) int64 {
	if !has(head, 510, "\x55\xaa") {
		return 0
	}
	var least int64
	for at := 446; at < 510; at += 16 {
		entry := head[at : at+16]
		start, count := int64(binary.LittleEndian.Uint32(entry[8:])), int64(binary.LittleEndian.Uint32(entry[12:]))
		switch kind := entry[4]; {
		case entry[0]&0x7f != 0 || kind == 0xee:
			return 0
		case kind != 0 && start > 0 && count > 0:
			least = max(least, (start+1)*sectorSize)
		}
	}
	return least
}
