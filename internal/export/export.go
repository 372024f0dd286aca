// Package export makes a file that a hypervisor reads from kept content: raw or qcow2, from any offset on. Nothing of
// such a file is stored; every byte follows from the guest's disk and its map of data and holes.
package export

import (
	"fmt"
	"io"
	"sync"
)

// Disk is a guest's disk as the store gives it back. Its methods may be called by several goroutines at once.
type Disk interface {
	io.ReaderAt

	// Size is the disk's size in bytes.
	Size() int64

	// NextData returns the first range [start, end) of data at or after off; io.EOF with none left. All else is
	// zeros, which ReadAt gives without reading anything.
	NextData(off int64) (start, end int64, err error)
}

// The formats.
const (
	Raw   = "raw"
	QCOW2 = "qcow2"
)

// Exporter makes files, and keeps what several of them can use: buffers, and the layouts of qcow2 files, since a
// hypervisor asks for one file in thousands of ranges.
type Exporter struct {
	buffers sync.Pool
	layouts layouts
}

// New returns an Exporter.
func New() *Exporter { return &Exporter{} }

// File returns the file of a disk in a format. The digest names the disk's content: equal digests mean equal bytes.
// The first qcow2 file of a content costs a walk over the disk's map, and no data.
func (e *Exporter) File(d Disk, digest, format string) (*File, error) {
	switch format {
	case Raw:
		return &File{d, e}, nil
	case QCOW2:
		l, err := e.layouts.of(d, digest)
		if err != nil {
			return nil, fmt.Errorf("lay out a qcow2 file: %w", err)
		}
		return &File{&qcow2{d, l}, e}, nil
	}
	return nil, fmt.Errorf("there is no format %q", format)
}

// File is a file, whole. It is safe for use by several goroutines.
type File struct {
	bytes Disk // of the file, not of the guest
	e     *Exporter
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.bytes.Size() }

// ReadAt reads bytes of the file.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.bytes.ReadAt(p, off) }
