package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	qcow2Magic   = 0x514649fb // "QFI\xfb"
	headerLength = 104        // version 3, without a compression type
	copied       = 1 << 63    // "copied" flag of an entry: the reference count is exactly one
)

// qcow2 is a disk as a qcow2 file: version 3, nothing compressed, only clusters that hold data.
type qcow2 struct {
	guest Disk
	*layout
}

// Size is the file's length; it always ends with a whole cluster.
func (q *qcow2) Size() int64 { return q.end << clusterBits }

// NextData says that all of the file is data: holes of the guest are not in it.
func (q *qcow2) NextData(off int64) (start, end int64, err error) {
	if off >= q.Size() {
		return 0, 0, io.EOF
	}
	return off, q.Size(), nil
}

func (q *qcow2) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at the negative offset %d", off)
	}
	whole := len(p)
	if left := q.Size() - off; int64(whole) > left {
		p = p[:max(0, left)]
	}
	for done := 0; done < len(p); {
		n, err := q.readRegion(p[done:], off+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	if len(p) < whole {
		return len(p), io.EOF
	}
	return len(p), nil
}

// readRegion reads as much of p as lies in the region at off; entries of tables are made on the way.
func (q *qcow2) readRegion(p []byte, off int64) (int, error) {
	c := off >> clusterBits
	for _, region := range []struct {
		first, end int64
		entry      func(i int64) uint64
	}{
		{q.l1, q.refTable, q.l1Entry},
		{q.refTable, q.refBlocks, q.refTableEntry},
		{q.refBlocks, q.l2, q.refCounts},
		{q.l2, q.data, q.l2Entry},
	} {
		if c >= region.first && c < region.end {
			p = p[:min(int64(len(p)), region.end<<clusterBits-off)]
			fill(p, off-region.first<<clusterBits, region.entry)
			return len(p), nil
		}
	}
	if c == 0 {
		return q.readHeader(p, off), nil
	}
	return q.readData(p, off)
}

// fill makes the bytes of a table of 8-byte entries, from the byte at off on.
func fill(p []byte, off int64, entry func(i int64) uint64) {
	var b [8]byte
	for len(p) > 0 {
		binary.BigEndian.PutUint64(b[:], entry(off/8))
		n := copy(p, b[off%8:])
		p, off = p[n:], off+int64(n)
	}
}

// readHeader reads from the first cluster: the header (qcow2 specification, "Header"), then the extension that ends
// the list of extensions, which is zeros, like everything after it.
func (q *qcow2) readHeader(p []byte, off int64) int {
	p = p[:min(int64(len(p)), clusterSize-off)]
	clear(p)
	h := make([]byte, headerLength)
	be := binary.BigEndian
	be.PutUint32(h[0:], qcow2Magic)
	be.PutUint32(h[4:], 3)
	be.PutUint32(h[20:], clusterBits)
	be.PutUint64(h[24:], uint64(q.guestSize))
	be.PutUint32(h[36:], uint32(q.l1Entries))
	be.PutUint64(h[40:], uint64(q.l1<<clusterBits))
	be.PutUint64(h[48:], uint64(q.refTable<<clusterBits))
	be.PutUint32(h[56:], uint32(q.refBlocks-q.refTable))
	be.PutUint32(h[96:], 4) // reference counts of 1<<4 bits
	be.PutUint32(h[100:], headerLength)
	if off < headerLength {
		copy(p, h[off:])
	}
	return len(p)
}

func (q *qcow2) l1Entry(i int64) uint64 {
	t, ok := q.table(i)
	if !ok {
		return 0
	}
	return uint64((q.l2+t)<<clusterBits) | copied
}

func (q *qcow2) refTableEntry(i int64) uint64 {
	if i >= q.l2-q.refBlocks {
		return 0
	}
	return uint64((q.refBlocks + i) << clusterBits)
}

// refCounts returns four reference counts: one for every cluster that the file has.
func (q *qcow2) refCounts(i int64) uint64 {
	counts := uint64(0x0001000100010001)
	if have := q.end - 4*i; have < 4 {
		counts &^= 1<<(16*(4-max(0, have))) - 1
	}
	return counts
}

func (q *qcow2) l2Entry(i int64) uint64 {
	c := q.tables[i/tableEntries]*tableEntries + i%tableEntries
	if !q.set.has(c) {
		return 0
	}
	return uint64((q.data+q.set.rank(c))<<clusterBits) | copied
}

// readData reads as many clusters of data as follow one another in the guest as well.
func (q *qcow2) readData(p []byte, off int64) (int, error) {
	first := q.set.at(off>>clusterBits - q.data)
	end := first + 1
	for q.set.has(end) && (end-first)<<clusterBits-off%clusterSize < int64(len(p)) {
		end++
	}
	guest := first<<clusterBits + off%clusterSize
	p = p[:min(int64(len(p)), end<<clusterBits-guest)]
	inside := min(int64(len(p)), max(0, q.diskSize-guest))
	clear(p[inside:]) // the last cluster reaches beyond the guest's disk
	n, err := q.guest.ReadAt(p[:inside], guest)
	if int64(n) == inside && (err == nil || errors.Is(err, io.EOF)) {
		return len(p), nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
