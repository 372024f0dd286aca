package vmdk

import (
	"encoding/binary"

	"ingot/internal/inflate"
)

// buffers are what reading compressed grains needs, kept for the next read.
type buffers struct {
	file  []byte // of the file, grown to what was asked for
	plain []byte // a grain, where the caller wants less of it
}

// stored returns n bytes of the buffer for the file. n is at most bufferBytes, or a single grain's bound.
func (b *buffers) stored(n int64) []byte {
	if int64(cap(b.file)) < n {
		b.file = make([]byte, max(n, bufferBytes))
	}
	return b.file[:n]
}

// inflate decodes grain g from stored, which begins with its marker, to p: the guest bytes from off to the grain's end
// or p's. It returns their number.
func (d *Disk) inflate(buf *buffers, stored []byte, g int64, p []byte, off int64) (int64, error) {
	data, err := d.checkGrain(stored, g)
	if err != nil {
		return 0, err
	}
	within := off - g*d.grainBytes()
	n := min(int64(len(p)), d.length(g)-within)
	plain := p[:n]
	if n < d.grainBytes() {
		if buf.plain == nil {
			buf.plain = make([]byte, d.grainBytes())
		}
		plain = buf.plain
	}
	// A stream of more than a grain is an error, and nothing is written past plain.
	got, err := inflate.Zlib(plain, data)
	if err != nil || !d.complete(g, int64(got)) {
		return 0, damaged("vmdk_grain_data", "grain %d does not inflate to its size", g)
	}
	if n < d.grainBytes() {
		clear(plain[got:])
		copy(p[:n], plain[within:])
	}
	return n, nil
}

// complete reports whether a grain may have n bytes: all, but for the last of the disk, which some writers cut at its
// end, VMDKstream even within the last sector.
func (d *Disk) complete(g, n int64) bool {
	return n == d.grainBytes() || g == d.grains-1 && n > d.length(g)-sectorSize
}

// checkGrain returns a grain's compressed bytes. The marker was seen before where the stream was scanned, and is new
// where the place came from the directory.
func (d *Disk) checkGrain(stored []byte, g int64) ([]byte, error) {
	lba, size := binary.LittleEndian.Uint64(stored), int64(binary.LittleEndian.Uint32(stored[8:]))
	if lba != uint64(g*d.head.grain) {
		return nil, damaged("vmdk_grain_data", "the marker of grain %d says guest sector %d", g, lba)
	}
	if size == 0 || markerBytes+size > d.sectors(g)*sectorSize {
		return nil, damaged("vmdk_grain_data", "grain %d has %d compressed bytes, more or less than there is room for", g, size)
	}
	if markerBytes+size > int64(len(stored)) {
		return nil, truncated("data")
	}
	return stored[markerBytes : markerBytes+size], nil
}
