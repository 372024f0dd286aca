package vmdk

import (
	"encoding/binary"
	"math"
	"math/bits"

	"ingot/internal/refusal"
)

const (
	magic = "KDMV"

	// directoryAtEnd in place of the directory's sector says that the footer has it ("Stream-Optimized Compressed
	// Sparse Extents").
	directoryAtEnd = -1

	minGrain = 8   // sectors; "must be a power of two and greater than 8", writers of 8 are known
	maxGrain = 128 // sectors; what VMware and every known writer uses

	// maxGrains bounds the memory: it takes 52 MiB at the most, and 32 MiB more while Open checks them, for which the file
	// must have 32 MiB of tables. In grains of 64 KiB it is a disk of 512 GiB, in those of 4 KiB one of 32 GiB.
	maxGrains = 1 << 23

	maxDescriptor = 2048 // sectors; VMware, VirtualBox and qemu write 20
)

// Bits of the header's flags. The upper half are those that a reader must know.
const (
	flagNewline     = 1 << 0 // the four bytes of the newline test are set
	flagZeroedGrain = 1 << 2 // a grain table entry of 1 is a grain of zeros
	flagCompressed  = 1 << 16
	flagMarkers     = 1 << 17
	flagsMustKnow   = 0xffff0000
	flagsKnown      = flagCompressed | flagMarkers
	compressDeflate = 1
)

// header is what a SparseExtentHeader says ("Hosted Sparse Extent Header"). Counts and places are in sectors.
type header struct {
	version    uint32
	flags      uint32
	capacity   int64
	grain      int64
	descriptor int64 // length; it begins at sector 1
	directory  int64 // of the grain directory, or directoryAtEnd
	overhead   int64 // where the first grain or marker stands
}

func (h header) compressed() bool { return h.flags&flagCompressed != 0 }

// parseHeader checks one sector against everything that does not need the rest of the file.
func parseHeader(b []byte) (header, error) {
	var h header
	if !Match(b) {
		return h, refusal.New("vmdk_header", "The file does not begin as a VMDK does: it is damaged, or no "+
			"VMDK. `qemu-img info` tells what it is.")
	}
	if h.version = binary.LittleEndian.Uint32(b[4:]); h.version < 1 || h.version > 3 {
		return h, refusal.New("vmdk_version", "The VMDK has format version %d; versions 1 to 3 are read. %s", h.version, convert)
	}
	h.flags = binary.LittleEndian.Uint32(b[8:])
	// A transfer in text mode shows here first, and explains whatever else is wrong.
	if h.flags&flagNewline != 0 && string(b[73:77]) != "\n \r\n" {
		return h, refusal.New("vmdk_newline", "The VMDK was damaged by a transfer in text mode (its newline test "+
			"fails). Copy the original again in binary mode.")
	}
	if err := checkCompression(h.flags, binary.LittleEndian.Uint16(b[77:])); err != nil {
		return h, err
	}
	if n := binary.LittleEndian.Uint32(b[44:]); n != tableEntries {
		return h, refusal.New("vmdk_grain_table_size", "The VMDK has grain tables of %d entries; %d are read. %s",
			n, tableEntries, convert)
	}
	return h, h.parseGeometry(b)
}

// parseGeometry reads the fields that are counts and places of sectors.
func (h *header) parseGeometry(b []byte) error {
	grain := binary.LittleEndian.Uint64(b[20:])
	if bits.OnesCount64(grain) != 1 || grain < minGrain || grain > maxGrain {
		return refusal.New("vmdk_grain_size", "The VMDK has grains of %d sectors; a power of two from %d to %d is read. %s",
			grain, minGrain, maxGrain, convert)
	}
	capacity := binary.LittleEndian.Uint64(b[12:])
	if capacity == 0 {
		return refusal.New("vmdk_capacity", "The VMDK holds no disk itself (its capacity is zero): its data is in other "+
			"files, which are never opened. %s", convert)
	}
	if capacity > grain*maxGrains {
		return refusal.New("vmdk_capacity", "The VMDK says that its disk has %d sectors of 512 bytes; at most %d are read. "+
			"Shrink the disk, or export it again if that is not its size.", capacity, grain*maxGrains)
	}
	h.grain, h.capacity = int64(grain), int64(capacity)
	if err := h.parseDescriptorPlace(b); err != nil {
		return err
	}
	return h.parseDirectoryPlace(b)
}

func (h *header) parseDescriptorPlace(b []byte) error {
	offset, length := binary.LittleEndian.Uint64(b[28:]), binary.LittleEndian.Uint64(b[36:])
	if offset == 0 || length == 0 {
		return refusal.New("vmdk_no_descriptor", "The VMDK has no descriptor: it is one extent of a disk in several "+
			"files. %s", convert)
	}
	if offset != 1 || length > maxDescriptor {
		return refusal.New("vmdk_descriptor", "The VMDK's descriptor is at sector %d and %d sectors long; one at sector 1 "+
			"of at most %d sectors is read. %s", offset, length, maxDescriptor, convert)
	}
	h.descriptor = int64(length)
	return nil
}

func (h *header) parseDirectoryPlace(b []byte) error {
	directory, overhead := binary.LittleEndian.Uint64(b[56:]), binary.LittleEndian.Uint64(b[64:])
	front := uint64(1 + h.descriptor)
	if directory == math.MaxUint64 {
		if !h.compressed() {
			return damaged("vmdk_directory", "its grain directory is said to be in a footer, which only a stream has")
		}
		if overhead < front || overhead > math.MaxUint32 {
			return damaged("vmdk_header", "its first grain is said to be at sector %d", overhead)
		}
		h.directory, h.overhead = directoryAtEnd, int64(overhead)
		return nil
	}
	if directory < front || directory > math.MaxUint32 {
		return damaged("vmdk_directory", "its grain directory is said to be at sector %d", directory)
	}
	h.directory = int64(directory)
	return nil
}

// checkCompression wants flags and algorithm to agree: readers differ in which of the two they go by.
func checkCompression(flags uint32, algorithm uint16) error {
	if unknown := flags & flagsMustKnow &^ flagsKnown; unknown != 0 {
		return refusal.New("vmdk_flags", "The VMDK uses features this reader does not know (flags %#x). %s", unknown, convert)
	}
	switch compressed := flags&flagCompressed != 0; {
	case algorithm > compressDeflate:
		return refusal.New("vmdk_compression", "The VMDK is compressed by an unknown algorithm (%d). %s", algorithm, convert)
	case compressed != (algorithm == compressDeflate):
		return damaged("vmdk_compression", "its header says both that grains are compressed and that they are not")
	case compressed != (flags&flagMarkers != 0):
		return refusal.New("vmdk_compression", "The VMDK has compressed grains without markers or markers without "+
			"compression, which is not read. %s", convert)
	}
	return nil
}

// convert is the advice for what another tool may read.
const convert = "Convert it where it was made: `qemu-img convert -O qcow2 disk.vmdk disk.qcow2`, or export the machine " +
	"with ovftool and import the stream-optimized .vmdk in the OVA."

func damaged(code, format string, args ...any) error {
	e := refusal.New(code, format, args...)
	e.Message = "The VMDK is damaged: " + e.Message + ". Export the disk again, or compare the file with the original."
	return e
}
