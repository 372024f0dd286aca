// Package raw knows disks that are nothing but their bytes: what makes such a file a disk, when it is cut short, and
// how to read one in order while it arrives.
package raw

import (
	"bytes"

	"ingot/internal/refusal"
)

const (
	sectorSize = 512

	// pageSize is the unit in which zeros are found and left out.
	pageSize = 4096
)

// HeadSize is how much of a file's beginning Check wants, less only where the file is shorter. With less it is as
// strict and knows fewer names.
const HeadSize = 64 << 10

// Check refuses a file that is no disk: one without an MBR's boot signature (55 AA at 510) and without a GPT header
// ("EFI PART" at 512, or at 4096 on a disk with sectors of 4 KiB). Nothing else of a table need be right: hybrid
// tables, legacy boot flags and odd protective entries are real. A boot sector of FAT or NTFS has the signature too,
// and is accepted: boot loaders start from such disks.
//
// size is the file's in bytes, -1 while it is not known. With it a table that needs a larger disk is refused as
// truncated, as far as leastSize can tell.
func Check(head []byte, size int64) error {
	if size < 0 && len(head) < sectorSize {
		size = int64(len(head))
	}
	if size == 0 {
		return refusal.New("raw_empty", "The file is empty. Check that the link leads to the image itself.")
	}
	if !hasTable(head) {
		name, advice := guess(head)
		return refusal.New("raw_not_a_disk", "The file is no disk image: it has neither an MBR's boot signature nor a GPT "+
			"header. It looks like %s. %s", name, advice)
	}
	return checkSize(leastSize(head), size)
}

func hasTable(head []byte) bool {
	return has(head, 510, "\x55\xaa") || has(head, 512, gptMagic) || has(head, 4096, gptMagic)
}

func has(b []byte, at int, magic string) bool {
	return len(b) >= at+len(magic) && string(b[at:at+len(magic)]) == magic
}

// checkSize refuses a file of size bytes whose table needs at least so many; -1 is a size that is not known.
func checkSize(least, size int64) error {
	if size < 0 || size >= least {
		return nil
	}
	return refusal.New("raw_truncated", "The disk image is truncated: it has %d bytes, and its partition table needs at "+
		"least %d. Copy or upload it again. If the disk was shrunk on purpose, repair its table first, as with "+
		"`sgdisk --move-second-header disk.raw`.", size, least)
}

// Tail refuses a file whose last 512 bytes are the footer of a fixed-size VHD, or the trailer of an Apple disk image:
// all before it may be a raw disk, but the footer is none of it. Virtual PC before 2004 wrote 511 bytes ("Virtual Hard
// Disk Image Format Specification", "Hard Disk Footer Format").
func Tail(last []byte) error {
	const cookie, trailer = "conectix", "koly\x00\x00\x00\x04\x00\x00\x02\x00"
	if bytes.HasPrefix(last, []byte(trailer)) {
		return refusal.New("format_dmg", "The file is an Apple disk image (DMG), which is not supported: raw, qcow2, VHDX, "+
			"VDI and VMDK are. Convert it: qemu-img convert -f dmg -O qcow2 INPUT OUTPUT.qcow2")
	}
	if !bytes.HasPrefix(last, []byte(cookie)) && !has(last, 1, cookie) {
		return nil
	}
	return refusal.New("format_vhd", "The file is a fixed-size VHD (Virtual PC, Azure) disk, which is not supported: raw, "+
		"qcow2, VHDX, VDI and VMDK are. Convert it: qemu-img convert -f vpc -O qcow2 INPUT OUTPUT.qcow2")
}

// padded is the guest disk's size for a file of n bytes: whole sectors, as qemu has it. What the file lacks of its last
// sector reads as zeros.
func padded(n int64) int64 { return (n + sectorSize - 1) &^ (sectorSize - 1) }

// isZero reports whether b, which must not be empty, is all zeros.
func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[:len(b)-1], b[1:])
}

// nextData returns the first run of pages of b that are not all zeros, at or after at, which must be at a page. The
// last page may be a part of one. Without any it returns len(b) twice.
func nextData(b []byte, at int) (start, end int) {
	for start = at; start < len(b) && isZero(page(b, start)); {
		start += len(page(b, start))
	}
	for end = start; end < len(b) && !isZero(page(b, end)); {
		end += len(page(b, end))
	}
	return start, end
}

func page(b []byte, at int) []byte { return b[at:min(at+pageSize, len(b))] }
