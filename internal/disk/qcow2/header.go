package qcow2

import (
	"encoding/binary"

	"ingot/internal/refusal"
)

const magic = "QFI\xfb"

// Lengths and positions of the specification's section "Header".
const (
	headerV2          = 72
	headerV3          = 104
	offsetCompression = 104
)

// Bits of incompatible_features.
const (
	bitDirty = 1 << iota // only the reference counts are stale, and they are not read
	bitCorrupt
	bitDataFile
	bitCompression
	bitExtendedL2

	knownBits = 1<<iota - 1
)

// header is what the first cluster says, checked: nothing in it leads out of the file, if the file's size is known.
type header struct {
	fields
	clusterBits uint
	clusterSize int64
	entryBits   uint  // log2 of the bytes of an L2 entry
	span        int64 // guest bytes that one L2 table maps
	size        int64 // of the guest's disk
	metadata    []region
}

// fields is the header as it stands in the file.
type fields struct {
	version          uint32
	backingOffset    uint64
	clusterBitsField uint32
	sizeField        uint64
	cryptMethod      uint32
	l1Size           uint32
	l1Offset         uint64
	refcountOffset   uint64
	refcountClusters uint32
	snapshots        uint32
	snapshotsOffset  uint64
	incompatible     uint64
	refcountOrder    uint32
	length           uint32
	compression      byte
}

// region is a range [off, end) of the file, of whole clusters, that holds metadata.
type region struct {
	off, end int64
	name     string
}

func (h *header) readHeader(src *source) error {
	if err := h.readFields(src); err != nil {
		return err
	}
	if err := h.checkForeign(); err != nil {
		return err
	}
	if err := h.checkShape(); err != nil {
		return err
	}
	names, err := h.readExtensions(src)
	if err != nil {
		return err
	}
	if err := h.checkFeatures(names); err != nil {
		return err
	}
	if err := h.checkSizes(); err != nil {
		return err
	}
	return h.checkTables(src)
}

func (f *fields) readFields(src *source) error {
	var b [headerV3 + 1]byte
	if err := src.fill(b[:headerV2], 0, "the header"); err != nil {
		return err
	}
	if !Match(b[:]) {
		return refusal.New("qcow2_magic", "The file does not begin with the qcow2 signature.")
	}
	be := binary.BigEndian
	*f = fields{
		version:          be.Uint32(b[4:]),
		backingOffset:    be.Uint64(b[8:]),
		clusterBitsField: be.Uint32(b[20:]),
		sizeField:        be.Uint64(b[24:]),
		cryptMethod:      be.Uint32(b[32:]),
		l1Size:           be.Uint32(b[36:]),
		l1Offset:         be.Uint64(b[40:]),
		refcountOffset:   be.Uint64(b[48:]),
		refcountClusters: be.Uint32(b[56:]),
		snapshots:        be.Uint32(b[60:]),
		snapshotsOffset:  be.Uint64(b[64:]),
		refcountOrder:    4,
		length:           headerV2,
	}
	if f.version != 3 {
		return nil
	}
	return f.readV3(src, b[:])
}

// readV3 reads the fields that version 3 added, into b from byte 72 on.
func (f *fields) readV3(src *source, b []byte) error {
	if err := src.fill(b[headerV2:headerV3], headerV2, "the header"); err != nil {
		return err
	}
	be := binary.BigEndian
	f.incompatible = be.Uint64(b[72:])
	f.refcountOrder = be.Uint32(b[96:])
	f.length = be.Uint32(b[100:])
	if f.length <= offsetCompression {
		return nil
	}
	if err := src.fill(b[offsetCompression:headerV3+1], offsetCompression, "the header"); err != nil {
		return err
	}
	f.compression = b[offsetCompression]
	return nil
}
