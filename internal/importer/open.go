package importer

import (
	"bufio"
	"context"
	"errors"
	"io"

	"ingot/internal/decompress"
	"ingot/internal/disk"
	"ingot/internal/disk/raw"
	"ingot/internal/spool"
)

// file is the decompressed file behind a disk, while it arrives.
type file interface {
	// Wait waits for the file's end and returns what was wrong with it: what follows the last byte that the disk needed
	// is checked too (sums, trailing garbage, a truncated download). The disk cannot be read any more.
	Wait(ctx context.Context) error
	Close() error
}

// open recognises a file from its first bytes and opens it as a disk. size is the decompressed file's, -1 where it
// is not known; interrupt ends the reads that wait for the source.
func (i *Importer) open(plain *decompress.Reader, size int64, interrupt func(), m *meter) (disk.Disk, file, error) {
	// One buffer of the head's size; what is read in larger pieces later passes by it.
	buffered := bufio.NewReaderSize(plain, disk.HeadSize)
	head, err := buffered.Peek(disk.HeadSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	format, err := disk.Recognise(head)
	if err != nil {
		return nil, nil, err
	}
	var d disk.Disk
	var f file
	if format == disk.Raw {
		d, err = raw.NewStream(buffered, head, size)
		f = streamed{}
	} else {
		d, f, err = i.openSpooled(format, buffered, size, interrupt, func(guest int64) error {
			m.recognised(format, plain.Compression(), func() int64 { return guest })
			return i.bounded(guest)
		})
	}
	if err != nil {
		return nil, nil, err
	}
	m.recognised(format, plain.Compression(), d.Size)
	if err := i.bounded(d.Size()); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return arriving{d, interrupt}, f, nil
}

// arriving is a disk whose reads may wait for a download; the store interrupts them when it has failed.
type arriving struct {
	disk.Disk
	interrupt func()
}

func (a arriving) Interrupt() { a.interrupt() }

// A spool keeps its latest bytes in memory, and lets a download run ahead by less: so of a file that is read in order,
// as nearly all are, nothing gets to the disk. Both in bytes.
const (
	spoolMemory = 16 << 20
	maxAhead    = 8 << 20
)

// openSpooled gives a format the random access that it needs.
func (i *Importer) openSpooled(format string, r io.Reader, size int64, interrupt func(), accept func(guest int64) error) (disk.Disk, file, error) {
	s, err := spool.New(i.Scratch, r, spool.Options{MaxAhead: maxAhead, Memory: spoolMemory, Interrupt: interrupt})
	if err != nil {
		return nil, nil, err
	}
	d, err := disk.Open(format, s, size, accept)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return d, spooled{s}, nil
}

type spooled struct{ *spool.Spool }

func (s spooled) Wait(ctx context.Context) error {
	s.Discard() // the disk has been kept; what follows it needs no room, which may be short
	_, err := s.Spool.Wait(ctx)
	return err
}

// streamed is a raw disk's file: its disk has no end before the file has.
type streamed struct{}

func (streamed) Wait(context.Context) error { return nil }
func (streamed) Close() error               { return nil }
