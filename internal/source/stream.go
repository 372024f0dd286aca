package source

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"math"
	"net/url"
	"sync/atomic"
)

// Stream is a file that arrives. One goroutine reads it; Size, BytesRead, SHA256 and Close are safe from others.
type Stream struct {
	body  io.ReadCloser
	size  int64
	limit int64
	read  atomic.Int64
	hash  hash.Hash
	want  *checksum // nil: nothing to compare with
	end   error     // what the last Read returned
	sum   atomic.Pointer[string]
}

func newStream(body io.ReadCloser, size, limit int64, want *checksum) *Stream {
	s := &Stream{body: body, size: size, limit: limit, hash: sha256.New(), want: want}
	if want != nil && want.name == "sha256" {
		s.hash = want.hash // one sum serves both
	}
	return s
}

// Upload returns the stream of a file that was uploaded: size bytes, and a URL whose fragment may hold a checksum.
// The Stream closes r, also when Upload fails.
func Upload(r io.ReadCloser, size int64, rawURL string) (*Stream, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		r.Close()
		return nil, malformed()
	}
	want, err := parseChecksum(u.Fragment)
	if err != nil {
		r.Close()
		return nil, err
	}
	return newStream(r, size, math.MaxInt64, want), nil
}

// Read returns io.EOF at the end of a file that is what the URL's checksum says, and a refusal in its place otherwise.
// The end of the context that the stream was opened with is returned as its cause. Errors are final.
func (s *Stream) Read(p []byte) (int, error) {
	if s.end != nil || len(p) == 0 {
		return 0, s.end
	}
	if room := s.limit - s.read.Load(); room < int64(len(p)) {
		p = p[:room+1] // one byte more shows that the file is too large
	}
	n, err := s.body.Read(p)
	s.hash.Write(p[:n])
	if s.want != nil && s.want.hash != s.hash {
		s.want.hash.Write(p[:n])
	}
	if s.read.Add(int64(n)) > s.limit {
		err = tooLarge(s.limit)
	}
	if err == io.EOF {
		err = s.finish()
	}
	s.end = err
	return n, err
}

func (s *Stream) finish() error {
	sum := hex.EncodeToString(s.hash.Sum(nil))
	s.sum.Store(&sum)
	if s.want != nil {
		if err := s.want.check(); err != nil {
			return err
		}
	}
	return io.EOF
}

// Size is the number of bytes that the source announced; 0: it did not.
func (s *Stream) Size() int64 { return s.size }

// BytesRead is the number of bytes that have arrived.
func (s *Stream) BytesRead() int64 { return s.read.Load() }

// SHA256 is the digest of the file as it was served, in lower-case hexadecimal; "" until it has been read to its end.
func (s *Stream) SHA256() string {
	if sum := s.sum.Load(); sum != nil {
		return *sum
	}
	return ""
}

// Close ends the transfer, also under a Read that waits.
func (s *Stream) Close() error { return s.body.Close() }
