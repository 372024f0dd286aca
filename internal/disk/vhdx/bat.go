package vhdx

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"ingot/internal/disk/blocks"
	"ingot/internal/refusal"
)

// The states of a payload block ([MS-VHDX] 2.5.1.1). Where the content may be anything (undefined, not present) or
// what was there before (unmapped), zeros are read, as qemu and Hyper-V do: they disclose nothing.
const (
	notPresent       = 0
	undefined        = 1
	zero             = 2
	unmapped         = 3
	fullyPresent     = 6
	partiallyPresent = 7

	stateMask    = 7
	reservedMask = mib - 1 - stateMask
	offsetMask   = ^uint64(mib - 1)
)

const (
	batEntrySize = 8
	pageEntries  = 8 << 10 // of the BAT, read and checked at once
)

// table is the block allocation table ([MS-VHDX] 2.5). Its pages are read where they are first needed, so that a
// table is never larger in memory than what of it the file holds, and each is checked as a whole, against the pages
// before it too, before any of its blocks is read.
type table struct {
	file  source
	start int64
	geometry
	blockBits uint
	ratioBits uint // blocks of a chunk, each of which ends with the entry of its sector bitmap
	taken     []span

	pages []atomic.Pointer[[]int64] // where each block stands in the file; blocks.Hole for none

	mu      sync.Mutex
	claimed map[int64]uint64 // a bit for each MiB of the file that a block has, by 64 MiB
	broken  error            // a page was refused
}

func newTable(file source, g geometry, r regions) (*table, error) {
	t := &table{
		file: file, start: r.bat.start, geometry: g, taken: r.taken, claimed: map[int64]uint64{},
		blockBits: uint(bits.TrailingZeros64(uint64(g.blockSize))),
		ratioBits: uint(bits.TrailingZeros64(uint64(g.sectorSize<<23) / uint64(g.blockSize))),
	}
	if n := t.entries() * batEntrySize; n > r.bat.end-r.bat.start {
		return nil, damaged("vhdx_bat_short",
			"The block allocation table of the VHDX file has %d bytes, but the disk's size takes %d.", r.bat.end-r.bat.start, n)
	}
	t.pages = make([]atomic.Pointer[[]int64], (t.entries()+pageEntries-1)/pageEntries)
	return t, nil
}

// blocks is the number of payload blocks.
func (t *table) blocks() int64 { return (t.size-1)>>t.blockBits + 1 }

// entries is the number of the table's entries up to the last payload block.
func (t *table) entries() int64 { return t.entry(t.blocks()-1) + 1 }

// entry is the index in the table of a payload block.
func (t *table) entry(block int64) int64 { return block + block>>t.ratioBits }

// Host is for blocks.Map.
func (t *table) Host(block int64) (int64, error) {
	e := t.entry(block)
	page := t.pages[e/pageEntries].Load()
	if page == nil {
		var err error
		if page, err = t.load(e / pageEntries); err != nil {
			return 0, err
		}
	}
	return (*page)[e%pageEntries], nil
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
	raw := make([]byte, min(pageEntries, t.entries()-first)*batEntrySize)
	if err := t.file.read(raw, t.start+first*batEntrySize, "block allocation table"); err != nil {
		return nil, err
	}
	page := make([]int64, len(raw)/batEntrySize)
	for i := range page {
		block, ok := t.block(first + int64(i))
		if !ok {
			continue
		}
		host, err := t.check(block, binary.LittleEndian.Uint64(raw[i*batEntrySize:]))
		if err != nil {
			t.broken = err
			return nil, err
		}
		page[i] = host
	}
	t.pages[n].Store(&page)
	return &page, nil
}

// block returns the payload block of an entry. The entries of sector bitmaps have none and are passed over whatever
// they hold: only differencing disks use them, and qemu before 8.0 left copies of other entries there.
func (t *table) block(entry int64) (int64, bool) {
	chunk := int64(1)<<t.ratioBits + 1
	return entry - entry/chunk, entry%chunk != chunk-1
}

// check returns where a block stands, or blocks.Hole, and claims that place for it.
func (t *table) check(block int64, entry uint64) (int64, error) {
	state := entry & stateMask
	switch {
	case entry&reservedMask != 0:
		return 0, damaged("vhdx_block_reserved",
			"The entry of block %d in the block allocation table of the VHDX file has reserved bits set (%#x).", block, entry)
	case state == partiallyPresent:
		return 0, refusal.New("vhdx_block_partial",
			"Block %d of the VHDX file is partially present, as in a differencing disk, though the file claims to have no parent. Merge it where its parent is: Convert-VHD -Path CHILD.vhdx -DestinationPath WHOLE.vhdx -VHDType Dynamic", block)
	case state == notPresent, state == undefined, state == zero, state == unmapped:
		return blocks.Hole, nil
	case state != fullyPresent:
		return 0, damaged("vhdx_block_state",
			"The entry of block %d in the block allocation table of the VHDX file has the reserved state %d.", block, state)
	}
	off, length := entry&offsetMask, min(t.blockSize, t.size-block<<t.blockBits)
	if off > uint64(math.MaxInt64-t.blockSize) || (t.file.size >= 0 && int64(off) > t.file.size-length) {
		return 0, refusal.New("vhdx_block_beyond_end",
			"Block %d of the VHDX file is said to stand at byte %d, but the file ends before the block does: it was cut short or damaged. Compare its size with the original's, and copy or upload it again.", block, off)
	}
	return int64(off), t.claim(block, span{int64(off), int64(off) + length})
}

// claim takes a block's place in the file, which nothing else may have. It is noted in whole MiB, the unit of all
// places in the file: only the last block may need fewer than it has.
func (t *table) claim(block int64, at span) error {
	i, _ := slices.BinarySearchFunc(t.taken, at.start, func(s span, start int64) int {
		if s.end <= start {
			return -1
		}
		return 1
	})
	if i < len(t.taken) && t.taken[i].start < at.end {
		return damaged("vhdx_block_overlap",
			"Block %d of the VHDX file, at byte %d, lies over the file's own header, log or tables.", block, at.start)
	}
	for m := at.start / mib; m < (at.end+mib-1)/mib; m++ {
		word, bit := m/64, uint64(1)<<(m%64)
		if t.claimed[word]&bit != 0 {
			return damaged("vhdx_block_duplicate",
				"Block %d of the VHDX file, at byte %d, lies over another block: two places of the disk cannot share one of the file.", block, at.start)
		}
		t.claimed[word] |= bit
	}
	return nil
}
