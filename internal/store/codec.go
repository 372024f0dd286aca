package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// worthwhile is the most that a compressed chunk may keep of its length, in 32nds, to be kept compressed: below a
// gain of 5 % the time to undo it costs more than the bytes.
const worthwhile = 30

// codecs compresses and undoes it. Its methods may be called by several goroutines; as many run at once as there are
// processors, in memory that is kept.
type codecs struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	scratch *sync.Pool // of *[maxChunk + slack]byte
}

// slack is room behind a chunk without which the decoder takes a third longer: it checks each copy that it makes.
const slack = 64

func newCodecs() (codecs, error) {
	n := runtime.GOMAXPROCS(0)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(n),
		zstd.WithWindowSize(maxChunk), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return codecs{}, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(n), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(maxChunk))
	return codecs{encoder, decoder, &sync.Pool{New: func() any { return new([maxChunk + slack]byte) }}}, err
}

// encodeLightly appends a chunk to dst as a write keeps it until it is settled: in a quarter of the time that zstd takes,
// by a quarter larger. Where it is not worthwhile the chunk is kept as it is.
func (c codecs) encodeLightly(dst, chunk []byte) ([]byte, Codec) {
	at := len(dst)
	dst = slices.Grow(dst, s2.MaxEncodedLen(len(chunk)))
	n := len(s2.Encode(dst[at:cap(dst)], chunk))
	return keepSmaller(dst[:at+n], at, chunk, CodecS2)
}

// encode appends a chunk to dst as it stays.
func (c codecs) encode(dst, chunk []byte) ([]byte, Codec) {
	at := len(dst)
	return keepSmaller(c.encoder.EncodeAll(chunk, dst), at, chunk, CodecZstd)
}

// keepSmaller leaves in dst what was compressed from at on, if that is worthwhile, else the chunk.
func keepSmaller(dst []byte, at int, chunk []byte, codec Codec) ([]byte, Codec) {
	if (len(dst)-at)*32 <= len(chunk)*worthwhile {
		return dst, codec
	}
	return append(dst[:at], chunk...), CodecNone
}

var errWrongLength = errors.New("not as long as it should be")

// decode fills dst with the chunk that stored holds and checks its digest.
func (c codecs) decode(dst, stored []byte, codec Codec, digest Digest) error {
	if err := c.expand(dst, stored, codec); err != nil {
		return err
	}
	if sha256.Sum256(dst) != digest {
		return errors.New("the bytes do not match their digest")
	}
	return nil
}

// expand fills dst exactly; no codec writes past it, whatever stored says.
func (c codecs) expand(dst, stored []byte, codec Codec) error {
	if len(dst) > maxChunk {
		return errWrongLength
	}
	n := 0
	switch codec {
	case CodecNone:
		if n = len(stored); n == len(dst) {
			copy(dst, stored)
		}
	case CodecZstd:
		scratch := c.scratch.Get().(*[maxChunk + slack]byte)
		defer c.scratch.Put(scratch)
		out, err := c.decoder.DecodeAll(stored, scratch[:0:len(dst)+slack])
		if err != nil {
			return err
		}
		if n = len(out); n == len(dst) {
			copy(dst, out)
		}
	case CodecS2:
		size, err := s2.DecodedLen(stored)
		if n = size; err == nil && n == len(dst) {
			_, err = s2.Decode(dst, stored)
		}
		if err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown codec %d", codec)
	}
	if n != len(dst) {
		return errWrongLength
	}
	return nil
}
