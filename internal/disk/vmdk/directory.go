package vmdk

import (
	"encoding/binary"
	"slices"
)

// entryZeros in a grain table is a grain of zeros, where the header's flags allow it ("Grain Table").
const entryZeros = 1

// loadDirectory reads the grain directory and all tables, and checks that each grain lies in the file, in a place of
// its own. Tables are checked to be different ones before any is read, so that memory is bounded by what the file has.
func (d *Disk) loadDirectory() error {
	directory, err := d.readDirectory(d.head.directory)
	if err != nil {
		return err
	}
	l := layout{metadata: []span{
		{0, 1 + d.head.descriptor},
		{d.head.directory, (int64(len(directory)) + sectorSize - 1) / sectorSize},
	}}
	for i := range d.tables {
		if at := int64(binary.LittleEndian.Uint32(directory[4*i:])); at != 0 {
			l.metadata = append(l.metadata, span{at, tableSectors})
		}
	}
	if s, ok := l.sortMetadata(); !ok {
		return damaged("vmdk_directory", "its grain directory points to sector %d, which another table or the header takes", s.first)
	}
	mapped := 0
	b := make([]byte, tableEntries*4)
	for i := range d.tables {
		n, err := d.loadTable(b, i, int64(binary.LittleEndian.Uint32(directory[4*i:])))
		if err != nil {
			return err
		}
		mapped += n
	}
	l.grains = make([]uint32, 0, mapped)
	return d.placeGrains(&l)
}

// readDirectory reads the entries of a grain directory: at most 64 KiB, as maxGrains bounds their number.
func (d *Disk) readDirectory(sector int64) ([]byte, error) {
	b := make([]byte, 4*len(d.tables))
	return b, d.fill(b, sector*sectorSize, "grain directory")
}

// loadTable reads a table, by b, and returns how many grains it has that are no holes.
func (d *Disk) loadTable(b []byte, i int, sector int64) (mapped int, err error) {
	if sector == 0 {
		return 0, nil
	}
	if err := d.fill(b, sector*sectorSize, "grain tables"); err != nil {
		return 0, err
	}
	t := d.newTable()
	for j := range t.place {
		if int64(i)*tableEntries+int64(j) >= d.grains {
			break
		}
		if t.place[j] = d.entry(b[4*j:]); t.place[j] != 0 {
			mapped++
		}
	}
	d.tables[i].Store(t)
	return mapped, nil
}

// entry reads a grain table entry: a sector, or 0 for a hole or zeros.
func (d *Disk) entry(b []byte) uint32 {
	e := binary.LittleEndian.Uint32(b)
	if e == entryZeros && d.head.flags&flagZeroedGrain != 0 {
		return 0
	}
	return e
}

// placeGrains checks the grains' places. Of a compressed one only the first sector is known, its marker's; how far it
// is from whatever comes next in the file is noted: what lies beyond is not its own, whatever its marker says.
func (d *Disk) placeGrains(l *layout) error {
	n := d.head.grain
	need := d.length // bytes of the file; qemu before 2.5 did not pad a stream's last grain to a sector
	if d.head.compressed() {
		n, need = 1, func(int64) int64 { return markerBytes + 1 }
	}
	for g := d.nextMapped(0, d.grains); g < d.grains; g = d.nextMapped(g+1, d.grains) {
		if d.size >= 0 && d.place(g)*sectorSize+need(g) > d.size {
			return truncated("data")
		}
		l.grains = append(l.grains, uint32(d.place(g)))
	}
	if at, ok := l.sortGrains(n); !ok {
		return damaged("vmdk_grain_overlap", "a grain stands at sector %d, which another grain or a table takes", at)
	}
	if !d.head.compressed() {
		return nil
	}
	for g := d.nextMapped(0, d.grains); g < d.grains; g = d.nextMapped(g+1, d.grains) {
		d.table(g).sectors[g%tableEntries] = uint16(l.gap(d.place(g), d.maxSectors()))
	}
	return nil
}

// verifyDirectory compares the directory at a stream's end with the grains that its markers showed. A table is read only
// where a marker showed one: whatever else the directory names may be a grain that has been given back.
func (d *Disk) verifyDirectory(sector int64) error {
	directory, err := d.readDirectory(sector)
	if err != nil {
		return err
	}
	var b [tableEntries * 4]byte
	for i := range d.tables {
		clear(b[:])
		if at := int64(binary.LittleEndian.Uint32(directory[4*i:])); at != 0 {
			if _, ok := slices.BinarySearch(d.scan.tables, at); !ok {
				return damaged("vmdk_stream_directory", "its grain directory has a grain table at sector %d, its stream has none there", at)
			}
			if err := d.fill(b[:], at*sectorSize, "grain tables"); err != nil {
				return err
			}
		}
		if err := d.verifyTable(int64(i)*tableEntries, b[:]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) verifyTable(first int64, b []byte) error {
	for j := range min(tableEntries, d.grains-first) {
		if says, is := int64(d.entry(b[4*j:])), d.place(first+j); says != is {
			return damaged("vmdk_stream_directory", "its grain directory has grain %d at sector %d, its stream at %d "+
				"(0: nowhere)", first+j, says, is)
		}
	}
	return nil
}

// markerBytes is what stands before a compressed grain's data in its first sector.
const markerBytes = 12

// maxSectors is the most that a compressed grain may take: deflate never needs twice the plain size.
func (d *Disk) maxSectors() int64 {
	return (markerBytes + 2*d.grainBytes() + sectorSize - 1) / sectorSize
}
