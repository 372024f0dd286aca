// Package inflate knows DEFLATE (RFC 1951) and its zlib wrapper (RFC 1950): from bytes to bytes, in one go or piece by
// piece, faster than the libraries at hand and in plain Go.
package inflate

import (
	"errors"
	"io"
	"sync"
)

// ErrTruncated is a stream that goes on where its bytes end.
var ErrTruncated = errors.New("inflate: the stream ends in the midst")

// ErrFull is a stream that holds more than the destination has room for.
var ErrFull = errors.New("inflate: the stream holds more than there is room for")

// CorruptError is what a stream breaks of RFC 1951 or RFC 1950.
type CorruptError string

func (e CorruptError) Error() string { return "inflate: " + string(e) }

const (
	errCodeword = CorruptError("a codeword that its block's code does not have")
	errFar      = CorruptError("a match that starts before the data")
	errLengths  = CorruptError("codeword lengths that no code has")
)

// decoders are kept, since one is some 30 KB and its tables are made anew for each block anyway.
var decoders = sync.Pool{New: func() any { return new(Decoder) }}

// Inflate decodes a whole stream into dst and returns how many bytes it holds and how long it is; what follows the
// stream in src is ignored. With ErrFull dst is full and right so far. Bytes of dst past those returned are spoilt. Other errors are
// ErrTruncated and CorruptError.
func Inflate(dst, src []byte) (n, read int, err error) {
	d := decoders.Get().(*Decoder)
	defer decoders.Put(d)
	d.Reset()
	d.in, d.eof = src, true
	n, err = d.run(dst, 0, true)
	if err == io.EOF {
		err = nil
	}
	return n, d.giveBack(), err
}
