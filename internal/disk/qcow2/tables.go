package qcow2

import (
	"encoding/binary"
	"sync"

	"ingot/internal/refusal"
)

const (
	maxTableBytes = 16 << 20
	tableCost     = 256 // bytes that holding a table costs beside its own
)

// Parts of an L1 entry. Bit 63 only tells about the reference count.
const (
	offsetMask = 0x00ff_ffff_ffff_fe00
	reservedL1 = 0x7f00_0000_0000_01ff
)

// readL1 reads the part of the L1 table that maps the disk; what follows belongs to the state of snapshots.
func (d *Disk) readL1() error {
	n := (d.size-1)/d.span + 1
	off := int64(d.l1Offset)
	if err := d.src.reach(off+n*8, "the L1 table"); err != nil {
		return err
	}
	d.l1 = make([]int64, n)
	var b [64 << 10]byte
	for i := int64(0); i < n; {
		part := b[:min(int64(len(b)), (n-i)*8)]
		if err := d.src.fill(part, off+i*8, "the L1 table"); err != nil {
			return err
		}
		for ; len(part) > 0; part = part[8:] {
			var err error
			if d.l1[i], err = d.l1Entry(i, binary.BigEndian.Uint64(part)); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

// l1Entry returns the offset of the L2 table that an entry names, or 0.
func (d *Disk) l1Entry(i int64, entry uint64) (int64, error) {
	off := int64(entry & offsetMask)
	if entry&reservedL1 != 0 || off&(d.clusterSize-1) != 0 {
		return 0, refusal.New("qcow2_l1_entry", "L1 entry %d, %#016x, has reserved bits set or is not aligned to a cluster. %s",
			i, entry, adviceRepair)
	}
	if off == 0 {
		return 0, nil
	}
	if name := d.inMetadata(off, off+d.clusterSize); name != "" {
		return 0, refusal.New("qcow2_metadata_overlap", "L1 entry %d places an L2 table at byte %d, inside %s. %s",
			i, off, name, adviceRepair)
	}
	if !d.src.mayHold(off + d.clusterSize) {
		return 0, truncated(off, "an L2 table")
	}
	return off, nil
}

func (d *Disk) loadL2(i int64) ([]byte, error) {
	b := make([]byte, d.clusterSize)
	return b, d.src.fill(b, d.l1[i], "an L2 table")
}

// tables holds the L2 tables used last, by their index in the L1 table, and reads each once however many ask for it.
// What comes first goes first: an import passes each table once, and ReadAt follows close behind NextData.
type tables struct {
	load func(i int64) ([]byte, error)
	most int // tables

	mu    sync.Mutex
	held  map[int64]*table
	order []int64
}

type table struct {
	ready chan struct{} // closed when b and err are set
	b     []byte
	err   error
}

// get returns a table, which nobody may change.
func (c *tables) get(i int64) ([]byte, error) {
	c.mu.Lock()
	t, ok := c.held[i]
	if ok {
		c.mu.Unlock()
		<-t.ready
		return t.b, t.err
	}
	t = &table{ready: make(chan struct{})}
	c.hold(i, t)
	c.mu.Unlock()
	defer close(t.ready) // even if load panics: others wait
	t.b, t.err = c.load(i)
	if t.err != nil {
		c.forget(i, t)
	}
	return t.b, t.err
}

// hold adds a table and drops the oldest.
func (c *tables) hold(i int64, t *table) {
	if len(c.order) >= c.most {
		delete(c.held, c.order[0])
		c.order = c.order[1:]
	}
	c.held[i] = t
	c.order = append(c.order, i)
}

// forget drops a table that could not be read, so that the next to ask tries again.
func (c *tables) forget(i int64, t *table) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[i] == t {
		delete(c.held, i)
	}
}

// has reports whether get will return without reading.
func (c *tables) has(i int64) bool {
	c.mu.Lock()
	t, ok := c.held[i]
	c.mu.Unlock()
	if !ok {
		return false
	}
	select {
	case <-t.ready:
		return true
	default:
		return false
	}
}
