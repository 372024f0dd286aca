package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"

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
}

func newCodecs() (codecs, error) {
	n := runtime.GOMAXPROCS(0)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(n),
		zstd.WithWindowSize(maxChunk), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return codecs{}, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(n), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(maxChunk))
	return codecs{encoder, decoder}, err
}

// encode appends a chunk to dst, compressed if that is worthwhile.
func (c codecs) encode(dst, chunk []byte) ([]byte, Codec) {
	at := len(dst)
	dst = c.encoder.EncodeAll(chunk, dst)
	if (len(dst)-at)*32 <= len(chunk)*worthwhile {
		return dst, CodecZstd
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
	n := 0
	switch codec {
	case CodecNone:
		if n = len(stored); n == len(dst) {
			copy(dst, stored)
		}
	case CodecZstd:
		out, err := c.decoder.DecodeAll(stored, dst[:0:len(dst)])
		if err != nil {
			return err
		}
		n = len(out)
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
