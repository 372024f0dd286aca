package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// demoDisk is a small disk computed from its offsets: a boot sector with one partition, then data and holes of the
// sort an installed system has. It is the same on every machine, so that the demo can compare every byte that it
// reads back without keeping a copy.
type demoDisk struct{}

const (
	demoBlock  = 64 << 10
	demoBlocks = 4096 // 256 MiB
	demoSize   = demoBlock * demoBlocks
)

func (demoDisk) Size() int64 { return demoSize }

// held reports whether a block has data: the first megabyte, and then three of eight megabytes.
func (demoDisk) held(block int64) bool { return block < 16 || block/16%8 < 3 }

// NextData implements disk.Disk.
func (d demoDisk) NextData(off int64) (start, end int64, err error) {
	block := off / demoBlock
	for block < demoBlocks && !d.held(block) {
		block++
	}
	if block >= demoBlocks {
		return 0, 0, io.EOF
	}
	start = max(off, block*demoBlock)
	for block < demoBlocks && d.held(block) {
		block++
	}
	return start, block * demoBlock, nil
}

// ReadAt implements io.ReaderAt.
func (d demoDisk) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	var block [demoBlock]byte
	for n < len(p) {
		at := off + int64(n)
		if at >= demoSize {
			return n, io.EOF
		}
		d.fill(&block, at/demoBlock)
		n += copy(p[n:], block[at%demoBlock:])
	}
	return n, nil
}

// fill makes a block: odd ones of random bytes, as compressed files are; even ones of text, as configuration is.
func (d demoDisk) fill(block *[demoBlock]byte, number int64) {
	clear(block[:])
	if !d.held(number) {
		return
	}
	rng := rand.New(rand.NewPCG(uint64(number), 2026))
	if number%2 == 1 {
		for i := 0; i < len(block); i += 8 {
			binary.LittleEndian.PutUint64(block[i:], rng.Uint64())
		}
		return
	}
	for i := 0; i < len(block); {
		i += copy(block[i:], fmt.Sprintf("option-%d = value %d of block %d\n", rng.IntN(100), rng.IntN(10000), number))
	}
	if number == 0 {
		demoBootSector(block)
	}
}

// demoBootSector writes a master boot record: one active Linux partition from 1 MiB to the end.
func demoBootSector(block *[demoBlock]byte) {
	entry := block[446:462]
	clear(block[440:512])
	entry[0], entry[4] = 0x80, 0x83
	binary.LittleEndian.PutUint32(entry[8:], 2048)
	binary.LittleEndian.PutUint32(entry[12:], demoSize/512-2048)
	block[510], block[511] = 0x55, 0xaa
}
