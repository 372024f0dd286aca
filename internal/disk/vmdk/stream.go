package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"ingot/internal/refusal"
)

// Types of a metadata marker ("Stream-Optimized Compressed Sparse Extents"). markerProgress is in no specification;
// vSphere writes it, VMware's open-vmdk names it.
const (
	markerEOS       = 0
	markerTable     = 1
	markerDirectory = 2
	markerFooter    = 3
	markerProgress  = 4
)

// maxDirectories bounds the lists of a stream that consists of them, or of tables: the directory and its redundant copy,
// which may have tables of its own.
const maxDirectories = 2

// step follows one marker.
func (d *Disk) step() error {
	s := d.scan
	b := s.marker[:]
	if err := d.fill(b, s.at*sectorSize, "stream of grains"); err != nil {
		return err
	}
	val, size := binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint32(b[8:]))
	if size != 0 {
		return d.stepGrain(val, size)
	}
	if val > math.MaxUint32 {
		return d.badMarker("metadata of %d sectors", val)
	}
	return d.stepMetadata(int64(val), binary.LittleEndian.Uint32(b[12:]))
}

func (d *Disk) stepGrain(lba uint64, size int64) error {
	s := d.scan
	sectors := (markerBytes + size + sectorSize - 1) / sectorSize
	if lba >= uint64(d.head.capacity) || int64(lba)%d.head.grain != 0 {
		return d.badMarker("a grain at guest sector %d", lba)
	}
	if s.footer != 0 || sectors > d.maxSectors() || s.at+sectors > math.MaxUint32 {
		return d.badMarker("a grain of %d bytes", size)
	}
	g := int64(lba) / d.head.grain
	if g < d.decided.Load() {
		return refusal.New("vmdk_stream_order", "The VMDK's stream has the grain of guest sector %d after later ones (at "+
			"sector %d of the file), which is too far out of order for a stream. %s", lba, s.at, convert)
	}
	t := d.table(g)
	if t.place[g%tableEntries] != 0 {
		return d.badMarker("a second grain for guest sector %d", lba)
	}
	t.place[g%tableEntries], t.sectors[g%tableEntries] = uint32(s.at), uint16(sectors)
	s.unordered = s.unordered || g < s.last
	s.last = max(s.last, g)
	s.count++
	s.at += sectors
	return nil
}

func (d *Disk) stepMetadata(sectors int64, kind uint32) error {
	s := d.scan
	if s.footer != 0 && kind != markerEOS {
		return d.badMarker("metadata of type %d after the footer", kind)
	}
	switch kind {
	case markerEOS:
		return d.finish(sectors)
	case markerTable:
		if sectors != tableSectors || len(s.tables) == maxDirectories*len(d.tables) {
			return d.badMarker("a grain table of %d sectors", sectors)
		}
		s.tables = append(s.tables, s.at+1)
	case markerDirectory:
		if sectors*sectorSize < int64(4*len(d.tables)) || len(s.directories) == maxDirectories {
			return d.badMarker("a grain directory of %d sectors", sectors)
		}
		s.directories = append(s.directories, s.at+1)
	case markerFooter:
		if err := d.readFooter(sectors); err != nil {
			return err
		}
	case markerProgress:
	default:
		return d.badMarker("metadata of unknown type %d", kind)
	}
	s.at += 1 + sectors
	return nil
}

// readFooter wants the header again, with the directory's place filled in.
func (d *Disk) readFooter(sectors int64) error {
	if sectors != 1 {
		return d.badMarker("a footer of %d sectors", sectors)
	}
	var b [sectorSize]byte
	if err := d.fill(b[:], (d.scan.at+1)*sectorSize, "footer"); err != nil {
		return err
	}
	foot, err := parseHeader(b[:])
	if err != nil {
		return &refusal.Error{Code: "vmdk_footer", Message: refusal.As(err).Message, Cause: errors.New("in the footer")}
	}
	directory := foot.directory
	foot.directory, foot.overhead = d.head.directory, d.head.overhead
	if foot != d.head {
		return damaged("vmdk_footer", "its footer and its header disagree")
	}
	if !slices.Contains(d.scan.directories, directory) {
		return damaged("vmdk_footer", "its footer has the grain directory at sector %d, where there is none", directory)
	}
	d.scan.footer = directory
	return nil
}

// finish checks that the stream ends here and that the directory has what the markers showed.
func (d *Disk) finish(sectors int64) error {
	s := d.scan
	if sectors != 0 || s.footer == 0 {
		return damaged("vmdk_footer", "its stream of grains ends at sector %d without a footer", s.at)
	}
	if err := d.checkEnd((s.at + 1) * sectorSize); err != nil {
		return err
	}
	if err := d.verifyDirectory(s.footer); err != nil {
		return err
	}
	s.done = true
	return nil
}

// checkEnd wants nothing after the end-of-stream marker: readers that look for the footer from the end of the file
// would find another disk there.
func (d *Disk) checkEnd(end int64) error {
	more := d.size > end
	if d.size < 0 {
		n, err := d.r.ReadAt(make([]byte, 1), end)
		if n == 0 && err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("vmdk: read end: %w", err)
		}
		more = n > 0
	}
	if more {
		return damaged("vmdk_trailing", "data follows the end of its stream at byte %d", end)
	}
	return nil
}

func (d *Disk) badMarker(format string, args ...any) error {
	return damaged("vmdk_marker", "the marker at sector %d of the file announces %s", d.scan.at, fmt.Sprintf(format, args...))
}
