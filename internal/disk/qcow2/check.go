package qcow2

import (
	"fmt"
	"math/bits"
	"strings"

	"ingot/internal/refusal"
)

// QEMU's limits, which the specification names as notes; no image that QEMU can open lies beyond them.
const (
	minClusterBits    = 9
	minExtendedBits   = 14
	maxClusterBits    = 21
	maxL1Bytes        = 32 << 20
	maxRefcountBytes  = 8 << 20
	maxRefcountOrder  = 6
	maxSnapshots      = 65536
	minSnapshotBytes  = 40
	maxHostOffset     = 1 << 56
	compressionZlib   = 0
	compressionZstd   = 1
	adviceConvert     = "Make a new image with `qemu-img convert -O qcow2 IMAGE NEW` and import that."
	adviceRepair      = "Repair a copy with `qemu-img check -r all COPY` and import that, or transfer the file again."
	adviceConvertSelf = "Run `qemu-img convert -O qcow2 IMAGE NEW` where all its files are, and import NEW: it stands alone."
)

// checkForeign refuses what needs more than this one file, before anything else is looked at.
func (f *fields) checkForeign() error {
	switch {
	case f.version == 1:
		return refusal.New("qcow2_version", "This is an image of version 1 (qcow). "+
			"Convert it with `qemu-img convert -f qcow -O qcow2 IMAGE NEW` and import that.")
	case f.version != 2 && f.version != 3:
		return refusal.New("qcow2_version", "The image is of version %d; versions 2 and 3 are read. %s", f.version, adviceConvert)
	case f.backingOffset != 0:
		return refusal.New("qcow2_backing_file", "The image holds only what differs from a backing file. %s", adviceConvertSelf)
	case f.cryptMethod != 0:
		return refuseEncrypted()
	case f.incompatible&bitDataFile != 0:
		return refuseDataFile()
	case f.incompatible&bitCorrupt != 0:
		return refusal.New("qcow2_corrupt", "The image is marked as corrupt. Repair a copy with `qemu-img check -r all COPY` "+
			"and import that.")
	}
	return nil
}

func refuseEncrypted() error {
	return refusal.New("qcow2_encrypted", "The image is encrypted. Import a copy without encryption, made with "+
		"`qemu-img convert --object secret,id=key,file=PASSWORD --image-opts "+
		"driver=qcow2,encrypt.key-secret=key,file.filename=IMAGE -O qcow2 NEW`.")
}

func refuseDataFile() error {
	return refusal.New("qcow2_data_file", "The image keeps its data in another file. %s", adviceConvertSelf)
}

// checkShape checks what the places of everything else are computed from.
func (h *header) checkShape() error {
	least := uint32(minClusterBits)
	h.entryBits = 3
	if h.incompatible&bitExtendedL2 != 0 {
		least = minExtendedBits
		h.entryBits = 4
	}
	if h.clusterBitsField < least || h.clusterBitsField > maxClusterBits {
		return refusal.New("qcow2_cluster_size", "The image's clusters are of 2^%d bytes; from 2^%d to 2^%d are read. %s",
			h.clusterBitsField, least, maxClusterBits, adviceConvert)
	}
	h.clusterBits = uint(h.clusterBitsField)
	h.clusterSize = 1 << h.clusterBits
	h.span = 1 << (2*h.clusterBits - h.entryBits)
	if h.version == 3 && (h.length < headerV3 || h.length%8 != 0) || int64(h.length) > h.clusterSize {
		return refusal.New("qcow2_header", "The header says that it is %d bytes long, which cannot be. %s", h.length, adviceRepair)
	}
	if h.refcountOrder > maxRefcountOrder {
		return refusal.New("qcow2_header", "The header names reference counts of 2^%d bits; at most 2^%d exist. %s",
			h.refcountOrder, maxRefcountOrder, adviceRepair)
	}
	return nil
}

// checkFeatures refuses what no reader may ignore; names holds what the image itself calls its features.
func (h *header) checkFeatures(names map[int]string) error {
	if unknown := h.incompatible &^ knownBits; unknown != 0 {
		return refusal.New("qcow2_feature", "The image uses features that are not supported: %s. %s",
			listFeatures(unknown, names), adviceConvert)
	}
	flagged := h.incompatible&bitCompression != 0
	if h.compression > compressionZstd || flagged != (h.compression != compressionZlib) {
		return refusal.New("qcow2_compression_type", "The header names compression type %d, feature bit 3 %t; "+
			"zlib (0, false) and zstd (1, true) are read. %s", h.compression, flagged, adviceConvert)
	}
	return nil
}

func listFeatures(set uint64, names map[int]string) string {
	var list []string
	for ; set != 0; set &= set - 1 {
		bit := bits.TrailingZeros64(set)
		item := fmt.Sprintf("bit %d", bit)
		if name, ok := names[bit]; ok {
			item += fmt.Sprintf(" (%q)", name)
		}
		list = append(list, item)
	}
	return strings.Join(list, ", ")
}

func (h *header) checkSizes() error {
	if h.sizeField == 0 || h.sizeField%512 != 0 {
		return refusal.New("qcow2_size", "The guest disk's size of %d bytes is not a positive multiple of 512. "+
			"Set one with `qemu-img resize IMAGE SIZE`.", h.sizeField)
	}
	need := (h.sizeField-1)/uint64(h.span) + 1
	if h.l1Size > maxL1Bytes/8 || need > uint64(h.l1Size) {
		return refusal.New("qcow2_l1_size", "The L1 table has %d entries; a disk of %d bytes needs %d, and at most %d are read. %s",
			h.l1Size, h.sizeField, need, maxL1Bytes/8, adviceRepair)
	}
	h.size = int64(h.sizeField)
	return nil
}

// checkTables finds where the tables lie that the header names; they may not overlap, and hold no guest data.
func (h *header) checkTables(src *source) error {
	h.metadata = []region{{0, h.clusterSize, "the header"}}
	refcountBytes := int64(h.refcountClusters) << h.clusterBits
	if refcountBytes == 0 || refcountBytes > maxRefcountBytes {
		return refusal.New("qcow2_refcount_table", "The refcount table has %d clusters: none, or more than %d bytes. %s",
			h.refcountClusters, maxRefcountBytes, adviceRepair)
	}
	if h.snapshots > maxSnapshots {
		return refusal.New("qcow2_snapshot_table", "The image has %d snapshots; at most %d are read over. %s",
			h.snapshots, maxSnapshots, adviceConvert)
	}
	if err := h.addTable(src, "the L1 table", "qcow2_l1_table", h.l1Offset, int64(h.l1Size)*8); err != nil {
		return err
	}
	if err := h.addTable(src, "the refcount table", "qcow2_refcount_table", h.refcountOffset, refcountBytes); err != nil {
		return err
	}
	if h.snapshots == 0 {
		return nil
	}
	return h.addTable(src, "the snapshot table", "qcow2_snapshot_table", h.snapshotsOffset, int64(h.snapshots)*minSnapshotBytes)
}

func (h *header) addTable(src *source, name, code string, off uint64, n int64) error {
	if off%uint64(h.clusterSize) != 0 || off >= maxHostOffset {
		return refusal.New(code, "The header places %s at byte %d, which is not a cluster's. %s", name, off, adviceRepair)
	}
	r := region{int64(off), int64(off) + (n+h.clusterSize-1)&-h.clusterSize, name}
	if other := h.inMetadata(r.off, r.end); other != "" {
		return refusal.New("qcow2_metadata_overlap", "The header places %s at byte %d, inside %s. %s", name, off, other, adviceRepair)
	}
	if !src.mayHold(r.off + n) {
		return truncated(r.off, name)
	}
	h.metadata = append(h.metadata, r)
	return nil
}

// inMetadata names the metadata that overlaps bytes [off, end) of the file, or returns "".
func (h *header) inMetadata(off, end int64) string {
	for i := range h.metadata {
		if r := &h.metadata[i]; off < r.end && r.off < end {
			return r.name
		}
	}
	return ""
}
