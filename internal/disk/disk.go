// Package disk turns the bytes of an image file into a guest's disk: it recognises the format, opens it with the
// reader that knows it, and tells the image's faults from those of whatever the bytes came from.
package disk

import "io"

// Disk is what a guest sees of an image. It is made of built-in types only, so that a format satisfies it without
// importing this package. Methods may be called by several goroutines at once.
type Disk interface {
	// ReadAt reads guest bytes; holes read as zeros. Past Size it returns io.EOF, as io.ReaderAt says.
	io.ReaderAt

	// Size is the guest disk's size in bytes. For a disk that arrives as a stream of unknown length it is known,
	// and constant, only after NextData has returned io.EOF; before that it is a lower bound.
	Size() int64

	// NextData returns the first range [start, end) of guest bytes at or after off that the file maps to data,
	// clipped to off and to Size. With none left it returns io.EOF. A range may end where the next begins.
	NextData(off int64) (start, end int64, err error)
}
