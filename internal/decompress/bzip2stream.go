package decompress

import (
	"io"

	"ingot/internal/refusal"
)

// streamHeader reads the header of a stream: "BZh" and the level. After the first stream there may also be zeros up
// to the end of the file, and nothing else.
func (f *bzip2File) streamHeader() error {
	var b [4]byte
	n, err := f.src.readFull(b[:], f.at>>3)
	switch {
	case err != nil && err != io.EOF:
		return f.failure(err)
	case n == 4 && string(b[:3]) == "BZh" && b[3] >= '1' && b[3] <= '9':
		f.level, f.crc = int(b[3]-'0'), 0
		f.at += 4 * 8
		return nil
	case f.at > 0:
		return f.padding()
	case n < 4:
		return f.failure(io.EOF)
	}
	return broken("bzip2_header", "Its fourth byte is %q, where bzip2 has the level, 1 to 9.", b[3])
}

// streamEnd compares the checksum of a stream, which is made of those of its blocks.
func (f *bzip2File) streamEnd() error {
	sum, err := f.bits(32)
	if err != nil {
		return err
	}
	if uint32(sum) != f.crc {
		return broken("bzip2_checksum", "The stream that ends at compressed byte %d (decompressed byte %d) does not match its checksum.", f.at>>3, f.out)
	}
	f.at = (f.at + 7) &^ 7
	f.src.release(f.at >> 3)
	f.level = 0
	return nil
}

// padding accepts zeros up to the end of the file and refuses anything else, which bzip2 passes over with a warning.
func (f *bzip2File) padding() error {
	var b [4 << 10]byte
	for off := f.at >> 3; ; {
		n, err := f.src.readAt(b[:], off)
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return f.failure(err)
		}
		if !zeros(b[:n]) {
			return trailing(Bzip2, f.at>>3)
		}
		off += int64(n)
		f.src.release(off)
	}
}

// bits reads up to 48 bits.
func (f *bzip2File) bits(n int) (uint64, error) {
	var b [8]byte
	skip := int(f.at & 7)
	if _, err := f.src.readFull(b[:(skip+n+7)/8], f.at>>3); err != nil {
		return 0, f.failure(err)
	}
	f.at += int64(n)
	var v uint64
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v << skip >> (64 - n), nil
}

// failure is what the user is told of an error in reading what comes next.
func (f *bzip2File) failure(err error) error {
	if what, ok := err.(corrupt); ok {
		return f.corrupt(what)
	}
	switch err {
	case io.EOF:
		return truncated(Bzip2, f.src.arrived(), f.out)
	case errRandomised:
		return refusal.New("bzip2_randomised", "We had a problem decompressing your file. It has randomised blocks, as bzip2 "+
			"wrote them before version 0.9.5. Compress it anew: bunzip2 disk.bz2 && bzip2 disk")
	}
	return sourceError(err, f.src.arrived())
}

func (f *bzip2File) corrupt(what corrupt) error {
	return broken("bzip2_corrupt", "The bzip2 data around compressed byte %d (decompressed byte %d) is damaged: %s.", f.at>>3, f.out, what)
}
