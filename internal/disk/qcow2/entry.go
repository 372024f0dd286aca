package qcow2

import (
	"encoding/binary"

	"ingot/internal/refusal"
)

// Parts of an L2 entry. Bit 63 only tells about the reference count; QEMU ignores it in reading, and so does this.
const (
	entryZero        = 1 << 0
	entryCompressed  = 1 << 62
	reservedStandard = 0x3f00_0000_0000_01fe

	subclusterBits = 5 // 32 in a cluster; without extended L2 entries all are alike
	allSubclusters = 1<<32 - 1
	sectorSize     = 512
)

// entry returns the L2 entry of the cluster at guest: its descriptor, and the bitmap of an extended entry.
func (d *Disk) entry(table []byte, guest int64) (desc, bitmap uint64) {
	i := (guest & (d.span - 1)) >> d.clusterBits
	b := table[i<<d.entryBits:]
	desc = binary.BigEndian.Uint64(b)
	if d.entryBits == 4 {
		bitmap = binary.BigEndian.Uint64(b[8:])
	}
	return desc, bitmap
}

// standard decodes a standard cluster descriptor: its host cluster, and a bit for each subcluster that holds data.
func (d *Disk) standard(guest int64, desc, bitmap uint64) (host int64, live uint32, err error) {
	host = int64(desc & offsetMask)
	zero := desc&entryZero != 0
	extended := d.entryBits == 4
	switch {
	case desc&reservedStandard != 0, zero && (extended || d.version == 2):
		return 0, 0, badEntry(guest, desc, "has reserved bits set")
	case host&(d.clusterSize-1) != 0:
		return 0, 0, badEntry(guest, desc, "is not aligned to a cluster")
	case !extended && host != 0 && !zero:
		return host, allSubclusters, nil
	case !extended:
		return 0, 0, nil
	}
	live = uint32(bitmap)
	switch {
	case live&uint32(bitmap>>32) != 0:
		return 0, 0, badEntry(guest, desc, "has subclusters that are both allocated and zero")
	case live != 0 && host == 0:
		return 0, 0, badEntry(guest, desc, "has allocated subclusters but no host cluster")
	}
	return host, live, nil
}

// compressed decodes a compressed cluster descriptor: where the stream begins, and how many bytes it has to the end of
// its last sector.
func (d *Disk) compressed(guest int64, desc, bitmap uint64) (host, length int64, err error) {
	shift := 62 - (d.clusterBits - 8)
	host = int64(desc & (1<<shift - 1))
	if host >= maxHostOffset || bitmap != 0 {
		return 0, 0, badEntry(guest, desc, "has reserved bits set")
	}
	more := int64(desc &^ (3 << 62) >> shift)
	return host, (more+1)*sectorSize - host%sectorSize, nil
}

func badEntry(guest int64, desc uint64, what string) error {
	return refusal.New("qcow2_l2_entry", "The L2 entry of guest byte %d, %#016x, %s. %s", guest, desc, what, adviceRepair)
}
