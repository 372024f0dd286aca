package qcow2

import (
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/inflate"
	"ingot/internal/refusal"
)

// codec inflates one cluster: src begins with its stream and goes on with whatever shares the last sector; dst must
// come out exactly full, and what lies between its length and its capacity may be spoilt. used is the stream's length. It
// is safe for concurrent use, and its memory does not depend on src.
type codec interface {
	inflate(dst, src []byte) (used int, err error)
}

func newCodec(kind byte, clusterSize int) (codec, error) {
	if kind == compressionZstd {
		return newZstd(clusterSize)
	}
	return deflateCodec{}, nil
}

func (d *Disk) inflate(dst, stream []byte, x extent) (used int, err error) {
	used, err = d.codec.inflate(dst, stream)
	if err == nil {
		return used, nil
	}
	return 0, refusal.Wrap(err, "qcow2_compressed_cluster", "The compressed cluster of guest byte %d, at byte %d of the file, "+
		"does not inflate to exactly %d bytes. %s", x.start, x.host, len(dst), adviceRepair)
}

var (
	errLong  = errors.New("the stream holds more than a cluster")
	errShort = errors.New("the stream holds less than a cluster")
)

// deflateCodec reads what QEMU calls zlib: a bare deflate stream (RFC 1951) without zlib's header. QEMU writes it with
// a window of 4 KiB; a longer one is no reason to refuse.
type deflateCodec struct{}

func (deflateCodec) inflate(dst, src []byte) (int, error) {
	n, used, err := inflate.Inflate(dst, src)
	if err == nil && n < len(dst) {
		err = errShort
	}
	return used, err
}

// spare is the room after a cluster with which the zstd decoder runs twice as fast, for it may copy more than it needs.
const spare = 64

// zstdCodec reads one zstd frame (RFC 8878). The decoder is told the frame's end, because it would take what follows
// in the last sector, another cluster's frame as a rule, for a part of this one.
type zstdCodec struct {
	decoder *zstd.Decoder
	roomy   sync.Pool // *[]byte of a cluster and spare
}

// newZstd bounds the window to a cluster, which is all that a frame can refer back to, or the least window of RFC 8878.
func newZstd(clusterSize int) (*zstdCodec, error) {
	most := uint64(max(clusterSize, zstd.MinWindowSize))
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxWindow(most),
		zstd.WithDecoderMaxMemory(most), zstd.WithDecodeAllCapLimit(true))
	c := &zstdCodec{decoder: decoder}
	c.roomy.New = func() any { b := make([]byte, clusterSize+spare); return &b }
	return c, err
}

func (c *zstdCodec) inflate(dst, src []byte) (int, error) {
	n, err := frameLength(src)
	if err != nil {
		return 0, err
	}
	if cap(dst) >= len(dst)+spare {
		return n, c.decode(dst, dst, src[:n])
	}
	b := c.roomy.Get().(*[]byte)
	defer c.roomy.Put(b)
	return n, c.decode(dst, *b, src[:n])
}

// decode decodes a frame in room, and copies it to dst if it then lies elsewhere.
func (c *zstdCodec) decode(dst, room, frame []byte) error {
	out, err := c.decoder.DecodeAll(frame, room[:0])
	switch {
	case err != nil:
		return err
	case len(out) < len(dst):
		return errShort
	case len(out) > len(dst):
		return errLong
	case &out[0] != &dst[0]:
		copy(dst, out)
	}
	return nil
}

// frameLength walks the block headers of the frame that src begins with (RFC 8878, 3.1.1).
func frameLength(src []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return 0, err
	}
	if h.Skippable {
		return 0, zstd.ErrMagicMismatch
	}
	const headerSize, rle = 3, 1
	for n, last := h.HeaderSize, false; ; {
		if last {
			if h.HasCheckSum {
				n += 4
			}
			return n, inBounds(n, len(src))
		}
		if err := inBounds(n+headerSize, len(src)); err != nil {
			return 0, err
		}
		head := int(src[n]) | int(src[n+1])<<8 | int(src[n+2])<<16
		last = head&1 != 0
		size := head >> 3
		if head>>1&3 == rle {
			size = 1
		}
		n += headerSize + size
	}
}

func inBounds(n, most int) error {
	if n > most {
		return io.ErrUnexpectedEOF
	}
	return nil
}
