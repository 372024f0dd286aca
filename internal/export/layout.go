package export

import (
	"errors"
	"io"
	"math/bits"
	"slices"
	"sync"
)

// The numbers of the qcow2 files that are made here (qcow2 specification, "General" and "Cluster mapping"): clusters of
// 64 KiB, so that a cluster of a table holds 8,192 entries of 8 bytes, or 32,768 reference counts of 2.
const (
	clusterBits    = 16
	clusterSize    = 1 << clusterBits
	tableEntries   = clusterSize / 8
	countsPerBlock = clusterSize / 2
	sectorSize     = 512
)

// layout says where everything of a qcow2 file is, in clusters. The file is: header, L1 table, table of reference
// count blocks, those blocks, the L2 tables that have an entry, the data in guest order.
type layout struct {
	diskSize  int64 // bytes of the guest's disk
	guestSize int64 // the same, rounded up to a sector, as qcow2 counts
	l1Entries int64

	l1, refTable, refBlocks, l2, data, end int64 // first clusters of the regions, and the number of all clusters

	tables []int64 // L1 indexes that have an L2 table
	set    allocation
}

// newLayout walks the map of a disk. It needs 1.5 bits for each of the guest's clusters: some 300 KB at 100 GB.
func newLayout(d Disk) (*layout, error) {
	l := &layout{diskSize: d.Size(), guestSize: unitsOf(d.Size(), sectorSize) * sectorSize}
	l.l1Entries = unitsOf(l.guestSize, clusterSize*tableEntries)
	l.set = newAllocation(unitsOf(l.guestSize, clusterSize))
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		off = l.allocate(start, end)
	}
	l.set.count()
	l.place()
	return l, nil
}

// allocate marks the clusters of a range, and the tables that they need; it returns where the last one ends.
func (l *layout) allocate(start, end int64) int64 {
	last := (end - 1) >> clusterBits
	for c := start >> clusterBits; c <= last; c++ {
		l.set.add(c)
		if t := c / tableEntries; len(l.tables) == 0 || l.tables[len(l.tables)-1] != t {
			l.tables = append(l.tables, t)
		}
	}
	return (last + 1) << clusterBits
}

// place puts the regions one after the other. The reference counts count themselves too, so their number is grown
// until it is enough.
func (l *layout) place() {
	l.l1 = 1
	l.refTable = l.l1 + max(1, unitsOf(l.l1Entries, tableEntries))
	rest := int64(len(l.tables)) + l.set.total
	for blocks := int64(1); ; blocks++ {
		l.refBlocks = l.refTable + unitsOf(blocks, tableEntries)
		l.l2 = l.refBlocks + blocks
		l.data = l.l2 + int64(len(l.tables))
		l.end = l.l2 + rest
		if need := unitsOf(l.end, countsPerBlock); need <= blocks {
			return
		}
	}
}

// table returns the number of the L2 table of an L1 index.
func (l *layout) table(i int64) (int64, bool) {
	n, ok := slices.BinarySearch(l.tables, i)
	return int64(n), ok
}

// unitsOf returns how many units n fills.
func unitsOf(n, unit int64) int64 { return (n + unit - 1) / unit }

// allocation is a set of clusters that knows the rank of each: how many come before it.
type allocation struct {
	words []uint64
	ranks []uint32 // of the first cluster of every word
	total int64
}

func newAllocation(n int64) allocation {
	words := unitsOf(n, 64)
	return allocation{words: make([]uint64, words), ranks: make([]uint32, words)}
}

func (a *allocation) add(c int64) { a.words[c/64] |= 1 << (c % 64) }

func (a *allocation) has(c int64) bool {
	return c/64 < int64(len(a.words)) && a.words[c/64]>>(c%64)&1 != 0
}

func (a *allocation) count() {
	for i, w := range a.words {
		a.ranks[i] = uint32(a.total)
		a.total += int64(bits.OnesCount64(w))
	}
}

// rank returns how many clusters of the set come before c, which is in it.
func (a *allocation) rank(c int64) int64 {
	return int64(a.ranks[c/64]) + int64(bits.OnesCount64(a.words[c/64]&(1<<(c%64)-1)))
}

// at returns the cluster of rank k, which is less than total.
func (a *allocation) at(k int64) int64 {
	i, found := slices.BinarySearch(a.ranks, uint32(k))
	if !found {
		i--
	}
	for a.words[i] == 0 {
		i++ // an empty word has the rank of the next
	}
	w := a.words[i]
	for range k - int64(a.ranks[i]) {
		w &= w - 1
	}
	return int64(i)*64 + int64(bits.TrailingZeros64(w))
}

// layouts keeps the layouts of the contents that were asked for last.
type layouts struct {
	mu   sync.Mutex
	kept []kept // the latest last
}

type kept struct {
	digest string
	layout *layout
}

const layoutsKept = 16 // of some hundred KB each

func (ls *layouts) of(d Disk, digest string) (*layout, error) {
	if l := ls.find(digest); l != nil {
		return l, nil
	}
	l, err := newLayout(d)
	if err != nil {
		return nil, err
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.kept = append(ls.kept, kept{digest, l})
	if len(ls.kept) > layoutsKept {
		ls.kept = slices.Delete(ls.kept, 0, 1)
	}
	return l, nil
}

func (ls *layouts) find(digest string) *layout {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	i := slices.IndexFunc(ls.kept, func(k kept) bool { return k.digest == digest })
	if i < 0 {
		return nil
	}
	k := ls.kept[i]
	ls.kept = append(slices.Delete(ls.kept, i, i+1), k)
	return k.layout
}
