package disk

import (
	"fmt"
	"io"

	"ingot/internal/disk/qcow2"
	"ingot/internal/disk/vdi"
	"ingot/internal/disk/vhdx"
	"ingot/internal/disk/vmdk"
)

// Open opens a file of a format that Recognise named, for one pass: an import reads every guest byte once, so a file
// that has a method Release(off, n int64) is told what will not be read again. size is the file's, -1 while it is not
// known: r then waits for what has not arrived and returns io.EOF past the end. Raw disks are read as a stream, by
// the package raw.
//
// accept, if it is not nil, is asked what the guest disk's size will be before a format whose map is read at once reads
// it; its error is Open's. Who wants a bound for every format asks Size too.
func Open(format string, r io.ReaderAt, size int64, accept func(guestSize int64) error) (Disk, error) {
	switch format {
	case QCOW2:
		return once(qcow2.Open(r, size))
	case VHDX:
		return once(vhdx.Open(r, size))
	case VDI:
		return once(vdi.Open(r, size))
	case VMDK:
		return once(vmdk.Open(r, size, accept))
	}
	return nil, fmt.Errorf("no reader gives random access to the format %q", format)
}

// once switches a disk to one pass.
func once[D interface {
	Disk
	ReadOnce()
}](d D, err error) (Disk, error) {
	if err != nil {
		return nil, err
	}
	d.ReadOnce()
	return d, nil
}
