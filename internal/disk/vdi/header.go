package vdi

import "ingot/internal/refusal"

const (
	headerSize    = 512
	headerStart   = 0x48  // what the field for the header's size counts from
	minHeaderSize = 0x180 // of version 1.1; VirtualBox has written 0x190 since 1.6
	version       = 1<<16 | 1
	sectorSize    = 512
	blockSize     = 1 << 20
	blockBits     = 20
)

// The image types.
const (
	dynamic      = 1
	static       = 2
	undo         = 3
	differencing = 4
)

// header is the header as far as a reader wants it. The fields are those of VDIHEADER1 in VirtualBox's VDICore.h, the
// format's only description; places are in bytes from the start of the file.
type header struct {
	version    uint32
	size       uint32
	kind       uint32
	mapAt      uint32
	dataAt     uint32
	sector     uint32
	diskSize   uint64
	block      uint32
	blockExtra uint32
	blocks     uint32 // entries of the block map
	allocated  uint32
	link       [16]byte // of the parent; zero: none
	parent     [16]byte // of the parent's last change; zero: none
}

func parseHeader(b []byte) header {
	return header{
		version: le.Uint32(b[0x44:]), size: le.Uint32(b[0x48:]), kind: le.Uint32(b[0x4c:]),
		mapAt: le.Uint32(b[0x154:]), dataAt: le.Uint32(b[0x158:]), sector: le.Uint32(b[0x168:]),
		diskSize: le.Uint64(b[0x170:]), block: le.Uint32(b[0x178:]), blockExtra: le.Uint32(b[0x17c:]),
		blocks: le.Uint32(b[0x180:]), allocated: le.Uint32(b[0x184:]),
		link: [16]byte(b[0x1a8:]), parent: [16]byte(b[0x1b8:]),
	}
}

func (h header) check() error {
	if h.version != version {
		return refusal.New("vdi_version",
			"The VDI file is of version %d.%d; only version 1.1 is known. Rewrite it: VBoxManage clonemedium disk INPUT.vdi OUTPUT.vdi --format VDI", h.version>>16, h.version&0xffff)
	}
	if h.kind == differencing || h.link != [16]byte{} || h.parent != [16]byte{} {
		return refusal.New("vdi_differencing",
			"The VDI file is a differencing image (a snapshot): it holds only what changed against a parent, which is never opened. Merge both into one file, where the parent is: VBoxManage clonemedium disk CHILD.vdi WHOLE.vdi --format VDI")
	}
	if h.kind == undo {
		return refusal.New("vdi_undo",
			"The VDI file is an undo image, which says how to change another disk back. Post that disk, as one file: VBoxManage clonemedium disk INPUT.vdi WHOLE.vdi --format VDI")
	}
	if h.kind != dynamic && h.kind != static {
		return damaged("vdi_image_type", "The VDI file is of type %d; only 1 (dynamic) and 2 (static) hold a disk.", h.kind)
	}
	if err := h.checkSizes(); err != nil {
		return err
	}
	return h.checkPlaces()
}

func (h header) checkSizes() error {
	if h.sector != sectorSize {
		return damaged("vdi_sector_size", "The VDI file has sectors of %d bytes; they must be 512.", h.sector)
	}
	if h.block != blockSize || h.blockExtra != 0 {
		return refusal.New("vdi_block_size",
			"The VDI file has blocks of %d bytes with %d more each; only blocks of 1 MiB with nothing more are read. Rewrite it: qemu-img convert -O vdi INPUT OUTPUT.vdi", h.block, h.blockExtra)
	}
	if h.diskSize == 0 || h.diskSize > uint64(h.blocks)*blockSize {
		return damaged("vdi_disk_size",
			"The VDI file says that its disk has %d bytes, in %d blocks of 1 MiB; there must be some, and they must fit.", h.diskSize, h.blocks)
	}
	if h.allocated > h.blocks {
		return damaged("vdi_blocks", "The VDI file claims %d allocated blocks of %d.", h.allocated, h.blocks)
	}
	return nil
}

// checkPlaces wants header, block map and data in this order and apart from each other. That bounds the number of
// blocks too: the data start below 4 GiB.
func (h header) checkPlaces() error {
	if h.size < minHeaderSize || uint64(headerStart)+uint64(h.size) > uint64(h.mapAt) {
		return damaged("vdi_header_size", "The VDI file has a header of %d bytes; it must have at least %d and end before the block map, at byte %d.", h.size, minHeaderSize, h.mapAt)
	}
	if h.mapAt%sectorSize != 0 || h.dataAt%sectorSize != 0 ||
		uint64(h.mapAt)+uint64(h.blocks)*entrySize > uint64(h.dataAt) {
		return damaged("vdi_places", "The VDI file puts its block map, of %d blocks, at byte %d and its data at byte %d; both must be multiples of 512, and the one must end before the other starts.",
			h.blocks, h.mapAt, h.dataAt)
	}
	return nil
}

// guestSize is the disk's size in whole sectors. VirtualBox can make disks of other sizes, and shows a guest the
// sector that is left over, as qemu does.
func (h header) guestSize() int64 {
	return int64((h.diskSize + sectorSize - 1) / sectorSize * sectorSize)
}
