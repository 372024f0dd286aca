package vmdk

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zlib"
)

// inflater is what decoding one grain needs, kept for the next one.
type inflater struct {
	buffer []byte // of the file
	plain  []byte // a grain, where the caller wants less of it
	src    bytes.Reader
	zlib   io.ReadCloser // nil until the first grain
	more   [1]byte       // where nothing should follow
}

// stored returns n bytes of the buffer. n is at most bufferBytes, or a single grain's bound.
func (in *inflater) stored(n int64) []byte {
	if int64(cap(in.buffer)) < n {
		in.buffer = make([]byte, max(n, bufferBytes))
	}
	return in.buffer[:n]
}

// inflate decodes grain g from stored, which begins with its marker, to p: the guest bytes from off to the grain's end
// or p's. It returns their number.
func (d *Disk) inflate(in *inflater, stored []byte, g int64, p []byte, off int64) (int64, error) {
	data, err := d.checkGrain(stored, g)
	if err != nil {
		return 0, err
	}
	within := off - g*d.grainBytes()
	n := min(int64(len(p)), d.length(g)-within)
	plain := p[:n]
	if n < d.grainBytes() {
		if in.plain == nil {
			in.plain = make([]byte, d.grainBytes())
		}
		plain = in.plain
	}
	got, err := in.decode(plain, data)
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

// decode inflates data to p and returns the number of bytes, at most len(p). The end of the data is always met, as the
// checksum is only compared there.
func (in *inflater) decode(p, data []byte) (int, error) {
	in.src.Reset(data)
	if err := in.reset(); err != nil {
		return 0, err
	}
	for n := 0; ; {
		rest := p[n:]
		if len(rest) == 0 {
			rest = in.more[:]
		}
		k, err := in.zlib.Read(rest)
		switch {
		case k > 0 && n == len(p):
			return n, io.ErrShortBuffer
		case err == io.EOF:
			return n + k, nil
		case err != nil:
			return n, err
		case k == 0:
			return n, io.ErrNoProgress
		}
		n += k
	}
}

func (in *inflater) reset() error {
	if in.zlib != nil {
		return in.zlib.(zlib.Resetter).Reset(&in.src, nil)
	}
	z, err := zlib.NewReader(&in.src)
	in.zlib = z
	return err
}
