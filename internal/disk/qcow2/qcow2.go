// Package qcow2 reads the guest's disk out of one qcow2 image file of version 2 or 3: plain, zlib and zstd clusters,
// extended L2 entries, any cluster size. It opens nothing that an image names, and it trusts no byte of the file.
//
// "The specification" is QEMU's docs/interop/qcow2.txt.
package qcow2

import (
	"bytes"
	"io"
	"sync"
)

// Match reports whether a file that begins with head is a qcow2 image: the first four bytes are enough.
func Match(head []byte) bool { return bytes.HasPrefix(head, []byte(magic)) }

// Disk is the guest's disk of an image; it satisfies disk.Disk. Its memory is bounded whatever the file says: at most
// 32 MiB for the L1 table, 16 MiB of L2 tables, 1/4096 of the file for what NextData checks and as much again plus 48 MiB
// if it is full of compressed clusters, four clusters, and for each ReadAt under way 1 MiB or three clusters.
type Disk struct {
	header
	src    source
	codec  codec
	l1     []int64 // offset of each L2 table, 0 for none
	tables tables
	walk   walk

	runs  sync.Pool // *run
	parts parts
	ends  ends // of streams read, once ReadOnce was called
}

// Open reads the header and the L1 table. Size is the file's in bytes, or -1 while it is not known: then r.ReadAt waits
// for bytes that are still to come and returns io.EOF past the end. What cannot be imported is a *refusal.Error whose
// code begins with "qcow2_"; errors of r are passed on.
//
// Open and ReadAt check each byte they rely on; that no two guest clusters share host bytes is checked by NextData
// alone, table by table, because it needs the whole map.
func Open(r io.ReaderAt, size int64) (*Disk, error) {
	d := &Disk{src: source{r: r, size: max(size, -1)}}
	if err := d.readHeader(&d.src); err != nil {
		return nil, err
	}
	if err := d.readL1(); err != nil {
		return nil, err
	}
	var err error
	if d.codec, err = newCodec(d.compression, int(d.clusterSize)); err != nil {
		return nil, err
	}
	d.tables = tables{load: d.loadL2, most: maxTableBytes / (int(d.clusterSize) + tableCost), held: map[int64]*table{}}
	d.parts.held, d.parts.read = map[int64]*part{}, map[int64]int64{}
	d.parts.buffers.New = func() any { b := make([]byte, d.clusterSize); return &b }
	d.runs.New = func() any { return new(run) }
	return d, nil
}

// Size is the guest disk's size in bytes, a multiple of 512 and never 0.
func (d *Disk) Size() int64 { return d.size }

// ReadOnce promises that each guest byte will be read at most once, and only after NextData returned it: from now on
// host bytes that cannot be asked for again are handed to the reader's Release(off, n int64), if it has that method.
// It must be called before the first ReadAt.
func (d *Disk) ReadOnce() {
	if r, ok := d.src.r.(interface{ Release(off, n int64) }); ok {
		d.src.release = r.Release
		d.parts.counts = true
	}
}
