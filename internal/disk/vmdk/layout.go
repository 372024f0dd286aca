package vmdk

import (
	"cmp"
	"slices"
)

// span is n sectors of the file.
type span struct{ first, n int64 }

func (s span) end() int64 { return s.first + s.n }

// layout is where things stand in the file. Sorted lists take the memory that the tables take themselves, however
// far apart hostile entries lie; a bitmap would take as much as the file is said to be long.
type layout struct {
	metadata []span   // header with descriptor, directory, tables
	grains   []uint32 // first sectors
}

// sortMetadata reports the first span that overlaps the one before it.
func (l *layout) sortMetadata() (overlapping span, ok bool) {
	slices.SortFunc(l.metadata, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	for i := 1; i < len(l.metadata); i++ {
		if l.metadata[i-1].end() > l.metadata[i].first {
			return l.metadata[i], false
		}
	}
	return span{}, true
}

// sortGrains reports the first sector of a grain that, each taking n sectors, overlaps another or metadata.
func (l *layout) sortGrains(n int64) (overlapping int64, ok bool) {
	slices.Sort(l.grains)
	for i, first := range l.grains {
		if l.gap(int64(first), n) < n || i > 0 && first == l.grains[i-1] {
			return int64(first), false
		}
	}
	for _, m := range l.metadata {
		if i, _ := slices.BinarySearch(l.grains, uint32(m.first)); i < len(l.grains) && int64(l.grains[i]) < m.end() {
			return int64(l.grains[i]), false
		}
	}
	return 0, true
}

// gap returns how many sectors it is from a sector to the next grain or metadata after it, at most limit. Both
// lists must be sorted; metadata begins below 2^32, as grains do.
func (l *layout) gap(sector, limit int64) int64 {
	next := sector + limit
	if i, _ := slices.BinarySearch(l.grains, uint32(min(sector+1, 1<<32-1))); i < len(l.grains) && int64(l.grains[i]) > sector {
		next = min(next, int64(l.grains[i]))
	}
	i, _ := slices.BinarySearchFunc(l.metadata, sector+1, func(s span, at int64) int { return cmp.Compare(s.first, at) })
	if i < len(l.metadata) {
		next = min(next, l.metadata[i].first)
	}
	return next - sector
}
