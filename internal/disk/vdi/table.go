package vdi

import (
	"sync"
	"sync/atomic"

	"ingot/internal/disk/blocks"
	"ingot/internal/refusal"
)

const (
	entrySize   = 4
	pageEntries = 8 << 10 // of the block map, read and checked at once

	free = 0xffffffff // no data, and anything may be read; zeros disclose nothing
	zero = 0xfffffffe // no data, zeros are read
)

// table is the block map. Its pages are read where they are first needed, so that a map is never larger in memory
// than what of it the file holds, and each is checked as a whole, against the pages before it too, before any of its
// blocks is read.
type table struct {
	file   source
	header header
	size   int64 // of the guest's disk

	pages []atomic.Pointer[[]int64] // where each block stands in the file; blocks.Hole for none

	mu      sync.Mutex
	claimed map[uint32]uint64 // a bit for each of the file's blocks that is in use, by 64
	broken  error             // a page was refused
}

func newTable(file source, h header, size int64) *table {
	t := &table{file: file, header: h, size: size, claimed: map[uint32]uint64{}}
	t.pages = make([]atomic.Pointer[[]int64], (t.count()+pageEntries-1)/pageEntries)
	return t
}

// count is the number of blocks that the disk has. The map may have more entries.
func (t *table) count() int64 { return (t.size-1)>>blockBits + 1 }

// Host is for blocks.Map.
func (t *table) Host(block int64) (int64, error) {
	page := t.pages[block/pageEntries].Load()
	if page == nil {
		var err error
		if page, err = t.load(block / pageEntries); err != nil {
			return 0, err
		}
	}
	return (*page)[block%pageEntries], nil
}

func (t *table) load(n int64) (*[]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if page := t.pages[n].Load(); page != nil {
		return page, nil
	}
	if t.broken != nil {
		return nil, t.broken
	}
	first := n * pageEntries
	raw := make([]byte, min(pageEntries, t.count()-first)*entrySize)
	if err := t.file.read(raw, int64(t.header.mapAt)+first*entrySize, "block map"); err != nil {
		return nil, err
	}
	page := make([]int64, len(raw)/entrySize)
	for i := range page {
		host, err := t.check(first+int64(i), le.Uint32(raw[i*entrySize:]))
		if err != nil {
			t.broken = err
			return nil, err
		}
		page[i] = host
	}
	t.pages[n].Store(&page)
	return &page, nil
}

// check returns where a block stands, or blocks.Hole, and claims that place for it.
func (t *table) check(block int64, entry uint32) (int64, error) {
	if entry == free || entry == zero {
		return blocks.Hole, nil
	}
	if entry >= t.header.blocks {
		return 0, damaged("vdi_block_index",
			"The map of the VDI file puts block %d at place %d, but there are only %d places.", block, entry, t.header.blocks)
	}
	off := int64(t.header.dataAt) + int64(entry)<<blockBits
	if length := min(blockSize, t.size-block<<blockBits); t.file.size >= 0 && off > t.file.size-length {
		return 0, refusal.New("vdi_block_beyond_end",
			"Block %d of the VDI file is said to stand at byte %d, but the file ends before the block does: it was cut short or damaged. Compare its size with the original's, and copy or upload it again.", block, off)
	}
	word, bit := entry/64, uint64(1)<<(entry%64)
	if t.claimed[word]&bit != 0 {
		return 0, damaged("vdi_block_duplicate",
			"The map of the VDI file puts block %d at place %d, which another block has: two places of the disk cannot share one of the file.", block, entry)
	}
	t.claimed[word] |= bit
	return off, nil
}
