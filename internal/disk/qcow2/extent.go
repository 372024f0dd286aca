package qcow2

import (
	"fmt"
	"math/bits"

	"ingot/internal/refusal"
)

type kind uint8

const (
	hole       kind = iota
	data            // length is that of the guest range
	compressed      // one guest cluster, or what was asked of it
)

// extent is a range [start, end) of guest bytes, and where the file has them.
type extent struct {
	start, end int64
	kind       kind
	host       int64
	length     int64 // bytes of the file; of a stream, to the end of its last sector
}

// extent returns the longest range from off, before limit, that is one hole, one run of host bytes or one compressed
// cluster, within one L2 table. A bad entry ends the range before it: only who asks for it meets the error.
func (d *Disk) extent(off, limit int64) (extent, error) {
	stop := off + min(limit-off, d.span-off&(d.span-1))
	i := off / d.span
	if d.l1[i] == 0 {
		return extent{start: off, end: stop, kind: hole}, nil
	}
	table, err := d.tables.get(i)
	if err != nil {
		return extent{}, err
	}
	x, err := d.piece(table, off, stop)
	if err != nil {
		return extent{}, err
	}
	for x.end < stop && x.kind != compressed {
		next, err := d.piece(table, x.end, stop)
		if err != nil || next.kind != x.kind || x.kind == data && next.host != x.host+x.length {
			break
		}
		x.end = next.end
		x.length += next.length
	}
	return x, nil
}

// piece is extent within one cluster.
func (d *Disk) piece(table []byte, off, stop int64) (extent, error) {
	guest := off &^ (d.clusterSize - 1)
	x := extent{start: off, end: min(stop, guest+d.clusterSize)}
	desc, bitmap := d.entry(table, guest)
	if desc&entryCompressed != 0 {
		var err error
		x.kind = compressed
		if x.host, x.length, err = d.compressed(guest, desc, bitmap); err != nil {
			return extent{}, err
		}
		return x, d.inFile(x)
	}
	host, live, err := d.standard(guest, desc, bitmap)
	if err != nil {
		return extent{}, err
	}
	subBits := d.clusterBits - subclusterBits
	sub := (off - guest) >> subBits
	ahead := live >> sub
	if ahead&1 == 0 {
		x.end = min(x.end, guest+(sub+int64(bits.TrailingZeros32(ahead)))<<subBits)
		return x, nil
	}
	x.kind = data
	x.end = min(x.end, guest+(sub+int64(bits.TrailingZeros32(^ahead)))<<subBits)
	x.host = host + off - guest
	x.length = x.end - x.start
	return x, d.inFile(x)
}

// inFile refuses what lies outside the file or in its metadata. The last sector of a stream need not be whole: QEMU
// ends the file with the stream.
func (d *Disk) inFile(x extent) error {
	if name := d.inMetadata(x.host, x.host+x.length); name != "" {
		return refusal.New("qcow2_metadata_overlap", "Guest byte %d is mapped to byte %d of the file, inside %s. %s",
			x.start, x.host, name, adviceRepair)
	}
	if !d.src.mayHold(x.least()) {
		return truncated(x.host, fmt.Sprintf("the data of guest byte %d", x.start))
	}
	return nil
}

// least is the number of bytes that a file with this extent has at the least.
func (x extent) least() int64 {
	if x.kind == compressed {
		return x.host + x.length - sectorSize + 1
	}
	return x.host + x.length
}
