package vhdx

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"ingot/internal/refusal"
)

const (
	regionOffset1    = 192 * kib
	regionOffset2    = 256 * kib
	regionTableSize  = 64 * kib
	regionEntrySize  = 32
	maxRegionEntries = 2047
)

// The regions that [MS-VHDX] 2.2.3.2 knows.
const (
	batRegion      = "2DC27766-F623-4200-9D64-115E9BFD4A08"
	metadataRegion = "8B7CA206-4790-4B9A-B8FE-575F050F886E"
)

// regions is where the file's structures stand. taken holds all of them, the header section and the log too, in
// ascending order: no payload block may lie there.
type regions struct {
	bat, metadata span
	taken         []span
}

func readRegions(file source, head header) (regions, error) {
	b, err := regionTable(file)
	if err != nil {
		return regions{}, err
	}
	count := int(binary.LittleEndian.Uint32(b[8:]))
	r := regions{taken: []span{{0, headerSection}}}
	if head.log.start < head.log.end {
		r.taken = append(r.taken, head.log)
	}
	seen := make(map[string]bool, count)
	for i := range count {
		e := b[16+i*regionEntrySize:][:regionEntrySize]
		id := guid(e)
		if seen[id] {
			return regions{}, damaged("vhdx_region_duplicate",
				"The region table of the VHDX file has the region {%s} twice.", id)
		}
		seen[id] = true
		if err := r.add(file, id, e); err != nil {
			return regions{}, err
		}
	}
	if !seen[batRegion] || !seen[metadataRegion] {
		return regions{}, damaged("vhdx_region_missing",
			"The region table of the VHDX file lacks the block allocation table or the metadata.")
	}
	return r, r.checkOverlap()
}

// regionTable returns the first valid copy of the region table. Two that are valid and differ are refused: readers
// that each trust another copy would see two disks.
func regionTable(file source) ([]byte, error) {
	first, err := parseRegionTable(file, regionOffset1)
	if err != nil {
		return nil, err
	}
	second, err := parseRegionTable(file, regionOffset2)
	if err != nil {
		return nil, err
	}
	switch {
	case first == nil && second == nil:
		return nil, damaged("vhdx_region_table",
			"Neither copy of the region table of the VHDX file has a valid checksum.")
	case first == nil:
		first = second
	case second != nil && !bytes.Equal(first, second):
		return nil, refusal.New("vhdx_region_tables_differ",
			"The two copies of the region table of the VHDX file differ. "+rewrite)
	}
	if n := binary.LittleEndian.Uint32(first[8:]); n > maxRegionEntries {
		return nil, damaged("vhdx_region_count",
			"The region table of the VHDX file claims %d entries; %d is the most that fit.", n, maxRegionEntries)
	}
	return first, nil
}

// parseRegionTable returns nil if the copy is not valid, which the other may make up for.
func parseRegionTable(file source, off int64) ([]byte, error) {
	b := make([]byte, regionTableSize)
	if err := file.read(b, off, "region table"); err != nil {
		return nil, err
	}
	if string(b[:4]) != "regi" || binary.LittleEndian.Uint32(b[4:]) != checksum(b) {
		return nil, nil
	}
	return b, nil
}

func (r *regions) add(file source, id string, entry []byte) error {
	off, length := binary.LittleEndian.Uint64(entry[16:]), binary.LittleEndian.Uint32(entry[24:])
	at, ok := place(off, length)
	if !ok || length == 0 {
		return damaged("vhdx_region_bounds",
			"The VHDX file puts its region {%s} at byte %d with %d bytes, where no region can be.", id, off, length)
	}
	if file.size >= 0 && at.end > file.size {
		return truncated("region {" + id + "}")
	}
	r.taken = append(r.taken, at)
	switch required := binary.LittleEndian.Uint32(entry[28:])&1 != 0; {
	case id == batRegion:
		r.bat = at
	case id == metadataRegion:
		r.metadata = at
	case required:
		return refusal.New("vhdx_region_unknown",
			"The VHDX file has a region {%s} that a reader must know, and that is not in the specification. "+rewrite, id)
	}
	return nil
}

// checkOverlap sorts the spans and refuses two that share a byte.
func (r *regions) checkOverlap() error {
	slices.SortFunc(r.taken, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(r.taken); i++ {
		if r.taken[i].start < r.taken[i-1].end {
			return damaged("vhdx_region_overlap",
				"Two structures of the VHDX file (header, log or a region) overlap at byte %d.", r.taken[i].start)
		}
	}
	return nil
}
