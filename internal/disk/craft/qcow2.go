package craft

import (
	"bytes"
	"compress/flate"

	"github.com/klauspost/compress/zstd"
)

// QCOW2 is a qcow2 file: header, refcount table and L1 table in its first clusters, then L2 tables and data in the
// order in which they are asked for.
type QCOW2 struct {
	File
	Cluster int64 // bytes
	bits    uint
	zstd    bool
}

// Places in a crafted qcow2 file, in clusters.
const (
	RefcountAt = 1
	L1At       = 2
)

// Setting says what kind of qcow2 file to make.
type Setting struct {
	Version     uint32
	ClusterBits uint
	Size        uint64 // of the guest's disk
	Zstd        bool
}

// NewQCOW2 makes a file of an empty disk.
func NewQCOW2(s Setting) *QCOW2 {
	q := &QCOW2{Cluster: 1 << s.ClusterBits, bits: s.ClusterBits, zstd: s.Zstd}
	span := uint64(q.Cluster/8) << s.ClusterBits
	l1 := (s.Size + span - 1) / span
	q.Grow(L1At*q.Cluster + (int64(l1)*8+q.Cluster-1)&-q.Cluster)
	q.Text(0, "QFI\xfb")
	q.Big32(4, s.Version)
	q.Big32(20, uint32(s.ClusterBits))
	q.Big64(24, s.Size)
	q.Big32(36, uint32(l1))
	q.Big64(40, uint64(L1At*q.Cluster))
	q.Big64(48, uint64(RefcountAt*q.Cluster))
	q.Big32(56, 1)
	if s.Version == 3 {
		q.Big32(96, 4)
		q.Big32(100, 112)
	}
	if s.Zstd {
		q.Big64(72, 1<<3)
		q.Write(104, 1)
	}
	return q
}

// Alloc adds whole clusters at the end and returns their place.
func (q *QCOW2) Alloc(n int64) int64 {
	q.Grow((int64(len(q.Bytes)) + q.Cluster - 1) &^ (q.Cluster - 1))
	at := int64(len(q.Bytes))
	q.Grow(at + n*q.Cluster)
	return at
}

// Entry returns where the L2 entry of a guest cluster is, after making its table.
func (q *QCOW2) Entry(i int64) int64 {
	l1 := L1At*q.Cluster + i/(q.Cluster/8)*8
	if q.Get64(l1) == 0 {
		q.Big64(l1, uint64(q.Alloc(1))|1<<63)
	}
	return int64(q.Get64(l1)&^(1<<63)) + i%(q.Cluster/8)*8
}

// Plain adds a guest cluster of data as it is.
func (q *QCOW2) Plain(i int64, data []byte) int64 {
	at := q.Entry(i)
	off := q.Alloc(1)
	q.Write(off, data...)
	q.Big64(at, uint64(off)|1<<63)
	return off
}

// Packed adds a guest cluster whose compressed form is given, right behind what is there.
func (q *QCOW2) Packed(i int64, stream []byte) int64 {
	at := q.Entry(i)
	off := q.add(stream, 1)
	q.Big64(at, q.Descriptor(off, int64(len(stream))))
	return off
}

// Descriptor is the L2 entry of a compressed cluster.
func (q *QCOW2) Descriptor(off, length int64) uint64 {
	more := (off+length-1)/512 - off/512
	return 1<<62 | uint64(more)<<(62-(q.bits-8)) | uint64(off)
}

// Compress compresses as the file's header says.
func (q *QCOW2) Compress(b []byte) []byte {
	if q.zstd {
		w, err := zstd.NewWriter(nil, zstd.WithWindowSize(max(int(q.Cluster), zstd.MinWindowSize)), zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		return w.EncodeAll(b, nil)
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	w.Write(b) // a bytes.Buffer takes everything
	w.Close()
	return out.Bytes()
}

// Fill writes a guest's disk: every second cluster that has data compressed, the others plain, those of zeros not at all.
func (q *QCOW2) Fill(guest []byte) *QCOW2 {
	for i := int64(0); i*q.Cluster < int64(len(guest)); i++ {
		b := make([]byte, q.Cluster)
		copy(b, guest[i*q.Cluster:])
		switch {
		case bytes.Count(b, []byte{0}) == len(b):
		case i%2 == 1:
			q.Packed(i, q.Compress(b))
		default:
			q.Plain(i, b)
		}
	}
	q.Alloc(0)
	return q
}
