package vhdx

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"ingot/internal/refusal"
)

const (
	metadataTableSize  = 64 * kib
	metadataEntrySize  = 32
	maxMetadataEntries = 2047
	maxUserEntries     = 1024
	maxItemSize        = mib
)

// The metadata items that [MS-VHDX] 2.6.2 knows.
const (
	fileParameters     = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B"
	virtualDiskSize    = "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
	virtualDiskID      = "BECA12AB-B2E6-4523-93EF-C309E000C746"
	logicalSectorSize  = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F"
	physicalSectorSize = "CDA348C7-445D-4471-9CC9-E9885251C556"
	parentLocator      = "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"
)

// wanted are the items that every disk has, with their sizes in bytes.
var wanted = []struct {
	id   string
	size uint32
}{{fileParameters, 8}, {virtualDiskSize, 8}, {virtualDiskID, 16}, {logicalSectorSize, 4}, {physicalSectorSize, 4}}

const maxDiskSize = 64 << 40

// geometry is what the metadata say about the disk, checked.
type geometry struct {
	size       int64 // bytes; above zero, at most 64 TiB, a multiple of sectorSize
	blockSize  int64 // bytes; a power of two, 1 to 256 MiB
	sectorSize int64 // bytes; 512 or 4096
}

// item is an entry of the metadata table; offset is from the start of the region.
type item struct {
	id             string
	user, required bool
	offset, length uint32
}

func readGeometry(file source, region span) (geometry, error) {
	items, err := readItems(file, region)
	if err != nil {
		return geometry{}, err
	}
	system := make(map[string]item, len(items))
	for _, it := range items {
		if it.required && !it.known() {
			return geometry{}, refusal.New("vhdx_metadata_unknown",
				"The VHDX file has metadata {%s} that a reader must know, and that are not in the specification. "+rewrite, it.id)
		}
		if !it.user {
			system[it.id] = it
		}
	}
	if _, ok := system[parentLocator]; ok {
		return geometry{}, differencing()
	}
	values := make(map[string][]byte, len(wanted))
	for _, w := range wanted {
		it, ok := system[w.id]
		if !ok || it.length < w.size {
			return geometry{}, damaged("vhdx_metadata_missing",
				"The metadata of the VHDX file lack the item {%s}, or it is too short.", w.id)
		}
		values[w.id] = make([]byte, w.size)
		if err := file.read(values[w.id], region.start+int64(it.offset), "metadata"); err != nil {
			return geometry{}, err
		}
	}
	return parseGeometry(values)
}

func parseGeometry(values map[string][]byte) (geometry, error) {
	le := binary.LittleEndian
	block, flags := le.Uint32(values[fileParameters]), le.Uint32(values[fileParameters][4:])
	if flags&2 != 0 {
		return geometry{}, differencing()
	}
	if flags&^3 != 0 {
		return geometry{}, refusal.New("vhdx_flags",
			"The VHDX file has flags (%#x) that are not in the specification. "+rewrite, flags)
	}
	if bits.OnesCount32(block) != 1 || block < mib || block > 256*mib {
		return geometry{}, damaged("vhdx_block_size",
			"The VHDX file has blocks of %d bytes; they must be a power of two from 1 to 256 MiB.", block)
	}
	logical, physical := le.Uint32(values[logicalSectorSize]), le.Uint32(values[physicalSectorSize])
	for _, sector := range []uint32{logical, physical} {
		if sector != 512 && sector != 4096 {
			return geometry{}, damaged("vhdx_sector_size",
				"The VHDX file has sectors of %d bytes; they must be 512 or 4096.", sector)
		}
	}
	size := le.Uint64(values[virtualDiskSize])
	if size == 0 || size > maxDiskSize || size%uint64(logical) != 0 {
		return geometry{}, damaged("vhdx_disk_size",
			"The VHDX file says that its disk has %d bytes; it must be a multiple of the sector size (%d), above 0 and at most 64 TiB.", size, logical)
	}
	return geometry{size: int64(size), blockSize: int64(block), sectorSize: int64(logical)}, nil
}

func differencing() error {
	return refusal.New("vhdx_differencing",
		"The VHDX file is a differencing disk: it holds only what changed against a parent, which is never opened. Merge both into one file, where the parent is: Convert-VHD -Path CHILD.vhdx -DestinationPath WHOLE.vhdx -VHDType Dynamic")
}

// readItems reads the metadata table and checks what [MS-VHDX] 2.6.1 asks of it.
func readItems(file source, region span) ([]item, error) {
	table := make([]byte, metadataTableSize)
	if err := file.read(table, region.start, "metadata table"); err != nil {
		return nil, err
	}
	if string(table[:8]) != "metadata" {
		return nil, damaged("vhdx_metadata_table",
			"The metadata of the VHDX file do not start with their signature.")
	}
	count := int(binary.LittleEndian.Uint16(table[10:]))
	if count > maxMetadataEntries {
		return nil, damaged("vhdx_metadata_count",
			"The metadata table of the VHDX file claims %d entries; %d is the most that fit.", count, maxMetadataEntries)
	}
	items := make([]item, count)
	for i := range items {
		items[i] = parseItem(table[(i+1)*metadataEntrySize:][:metadataEntrySize])
		if err := items[i].check(region.end - region.start); err != nil {
			return nil, err
		}
	}
	return items, checkItems(items)
}

func parseItem(b []byte) item {
	flags := binary.LittleEndian.Uint32(b[24:])
	return item{
		id: guid(b), user: flags&1 != 0, required: flags&4 != 0,
		offset: binary.LittleEndian.Uint32(b[16:]), length: binary.LittleEndian.Uint32(b[20:]),
	}
}

// known reports whether the specification knows the item. Users' items are known to nobody else.
func (it item) known() bool {
	switch it.id {
	case fileParameters, virtualDiskSize, virtualDiskID, logicalSectorSize, physicalSectorSize, parentLocator:
		return !it.user
	}
	return false
}

func (it item) check(region int64) error {
	empty := it.offset == 0 && it.length == 0
	inside := it.offset >= metadataTableSize && it.length > 0 && it.length <= maxItemSize &&
		int64(it.offset)+int64(it.length) <= region
	if empty || inside {
		return nil
	}
	return damaged("vhdx_metadata_bounds",
		"The metadata item {%s} of the VHDX file, %d bytes at %d, does not lie in the metadata region.",
		it.id, it.length, it.offset)
}

// checkItems looks at the items together: none twice, none over another, not too many of users.
func checkItems(items []item) error {
	type key struct {
		id   string
		user bool
	}
	seen := make(map[key]bool, len(items))
	users := 0
	for _, it := range items {
		if seen[key{it.id, it.user}] {
			return damaged("vhdx_metadata_duplicate",
				"The metadata of the VHDX file have the item {%s} twice.", it.id)
		}
		seen[key{it.id, it.user}] = true
		if it.user {
			users++
		}
	}
	if users > maxUserEntries {
		return damaged("vhdx_metadata_count",
			"The metadata table of the VHDX file has %d items of users; %d is the most allowed.", users, maxUserEntries)
	}
	sorted := slices.SortedFunc(slices.Values(items), func(a, b item) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(sorted); i++ {
		if last := sorted[i-1]; uint64(sorted[i].offset) < uint64(last.offset)+uint64(last.length) {
			return damaged("vhdx_metadata_overlap",
				"The metadata items {%s} and {%s} of the VHDX file overlap.", last.id, sorted[i].id)
		}
	}
	return nil
}
