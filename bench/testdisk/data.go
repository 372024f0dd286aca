package testdisk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Data writes what a sparse disk holds besides holes to two files, half to each, unless they are there, and returns how many
// bytes that is.
func Data(raw string, halves [2]string) (total int64, err error) {
	in, err := os.Open(raw)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	ranges, total, err := dataRanges(in)
	if err != nil {
		return 0, err
	}
	for i, path := range halves {
		err := once(path, func(part string) error { return writeHalf(in, ranges, total, i, part) })
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// DataBytes returns how many bytes of a sparse disk are no holes.
func DataBytes(raw string) (int64, error) {
	in, err := os.Open(raw)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	_, total, err := dataRanges(in)
	return total, err
}

func dataRanges(in *os.File) (ranges [][2]int64, total int64, err error) {
	for end := int64(0); ; {
		start, err := unix.Seek(int(in.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return ranges, total, nil
		}
		if err != nil {
			return nil, 0, err
		}
		if end, err = unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE); err != nil {
			return nil, 0, err
		}
		ranges = append(ranges, [2]int64{start, end})
		total += end - start
	}
}

// writeHalf writes the first or the second half of what the ranges hold.
func writeHalf(in io.ReaderAt, ranges [][2]int64, total int64, i int, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	from, to := int64(i)*(total/2), total/2
	if i == 1 {
		to = total
	}
	at := int64(0)
	for _, r := range ranges {
		n := r[1] - r[0]
		lo, hi := max(from-at, 0), min(to-at, n)
		if lo < hi {
			if _, err := io.Copy(out, io.NewSectionReader(in, r[0]+lo, hi-lo)); err != nil {
				return err
			}
		}
		at += n
	}
	return out.Close()
}
