package vhdx

import (
	"encoding/binary"
	"io"
	"math"

	"ingot/internal/refusal"
)

const (
	// maxReplay bounds the memory of a replay; Hyper-V's and qemu's logs have 1 MiB.
	maxReplay = 16 * mib
	// maxGrowth is how far beyond the file's end a log may reach. A file grows by a block, of 256 MiB at most, or a few.
	maxGrowth = gib
)

const logRepair = "Replay it first: qemu-img check -r all IMAGE.vhdx, or attach and detach the disk in Hyper-V"

// replay returns the file as it is once its log has been replayed ([MS-VHDX] 2.3.3): what was given if there is
// nothing to replay, else an overlay over it.
func replay(file source, head header) (source, error) {
	if !head.replays() {
		return file, nil
	}
	l, err := readLog(file, head)
	if err != nil {
		return source{}, err
	}
	sequence := l.active()
	if len(sequence) == 0 {
		return source{}, refusal.New("vhdx_log_empty",
			"The VHDX file was not closed, and its log holds no complete update: what the disk was to be is not known. Take the image again from a machine that is shut down.")
	}
	o := &overlay{base: file.r, log: l}
	for _, e := range sequence {
		if err := o.add(e, head.log); err != nil {
			return source{}, err
		}
	}
	newest := sequence[len(sequence)-1]
	if err := o.grow(file, newest.flushed, newest.last); err != nil {
		return source{}, err
	}
	o.index()
	if file.size >= 0 {
		file.size = max(file.size, o.end)
	}
	return source{r: o, size: file.size}, nil
}

func readLog(file source, head header) (*ring, error) {
	length := head.log.end - head.log.start
	if length > maxReplay {
		return nil, refusal.New("vhdx_log_size",
			"The VHDX file was not closed, and its log has %d MiB; logs of up to %d MiB are replayed here. "+logRepair, length/mib, maxReplay/mib)
	}
	if ok, err := file.holds(head.log.end - 1); err != nil {
		return nil, err
	} else if !ok {
		return nil, truncated("log")
	}
	l := &ring{buf: make([]byte, length), guid: head.logGUID}
	return l, file.read(l.buf, head.log.start, "log")
}

// add takes over the updates of one entry. Those to the identifier, the headers and the log itself are refused: the
// specification changes them without the log, and they have been read already.
func (o *overlay) add(e entry, log span) error {
	le := binary.LittleEndian
	data := e.dataStart()
	for i := range e.descriptors {
		d := o.log.descriptor(e, i)
		p := patch{data: noData}
		length := uint64(logSector)
		if string(d[:4]) == "zero" {
			length = le.Uint64(d[8:])
		} else {
			// The signature and the sequence number took the place of these bytes.
			b := o.log.sector(data)
			copy(b[:8], d[8:16])
			copy(b[logSector-4:], d[4:8])
			p.data = int32(data % o.log.sectors())
			data++
		}
		off := le.Uint64(d[16:])
		if length > math.MaxInt64 || off > math.MaxInt64-length {
			return tooLarge(off)
		}
		p.span = span{int64(off), int64(off + length)}
		if p.start < regionOffset1 || (p.start < log.end && p.end > log.start) {
			return damaged("vhdx_log_target",
				"The log of the VHDX file writes over the headers or over itself, at byte %d.", off)
		}
		if length > 0 {
			o.patches = append(o.patches, p)
			o.end = max(o.end, p.end)
		}
	}
	return nil
}

// grow checks what the newest entry says of the file's size, and how far the log would extend it.
func (o *overlay) grow(file source, flushed, last uint64) error {
	if flushed > math.MaxInt64 || (file.size >= 0 && int64(flushed) > file.size) {
		return truncated("last block")
	}
	if last > math.MaxInt64 {
		return tooLarge(last)
	}
	o.flushed, o.end = int64(flushed), max(o.end, int64(last))
	if o.end <= maxGrowth {
		return nil
	}
	ok, err := file.holds(o.end - maxGrowth - 1)
	if err == nil && !ok {
		err = tooLarge(uint64(o.end))
	}
	return err
}

func tooLarge(off uint64) error {
	return damaged("vhdx_log_growth",
		"The log of the VHDX file would extend it to byte %d, more than %d MiB beyond its end.", off, maxGrowth/mib)
}

// ReadAt reads the file as the replay leaves it.
func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.base.ReadAt(p, off)
	if n > 0 {
		o.saw(off + int64(n))
	}
	if n < len(p) {
		if err != nil && !atEnd(err) {
			return n, err
		}
		if n, err = o.extend(p, n, off); err != nil {
			return n, err
		}
	}
	o.apply(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// extend puts zeros where the replay makes the file longer than it is. n bytes of p came from the file, which ends
// behind them. A file that ends before it was known to be on disk has been cut short.
func (o *overlay) extend(p []byte, n int, off int64) (int, error) {
	ok, err := o.whole()
	if err != nil {
		return n, err
	}
	if !ok {
		return n, io.ErrUnexpectedEOF
	}
	all := int(min(int64(len(p)), max(o.end-off, int64(n))))
	clear(p[n:all])
	return all, nil
}

// whole reports whether the file has all bytes that were known to be on disk. The last of them may have been given back
// once it was read, so it is read only if none has been that far; and where that fails, another reader may just have been.
func (o *overlay) whole() (bool, error) {
	if o.seen.Load() >= o.flushed {
		return true, nil
	}
	ok, err := source{r: o.base, size: -1}.holds(o.flushed - 1)
	if ok {
		o.saw(o.flushed)
	} else if o.seen.Load() >= o.flushed {
		return true, nil
	}
	return ok, err
}

func (o *overlay) saw(end int64) {
	for old := o.seen.Load(); end > old; old = o.seen.Load() {
		if o.seen.CompareAndSwap(old, end) {
			return
		}
	}
}
