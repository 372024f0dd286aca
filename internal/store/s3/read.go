package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// resumes bounds how often a read goes on after the connection broke in the middle of an answer.
	resumes = 6

	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// errBroken is an answer that ended before its end. It hides what it ended with: an io.ErrUnexpectedEOF of the network
// is not one of the object.
type errBroken struct{ cause error }

func (e errBroken) Error() string { return "the answer broke off: " + e.cause.Error() }

// ReadAt fills p from the object at off. An answer that breaks off is continued from where it did.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	if off < 0 {
		return fmt.Errorf("object %s: offset %d is negative", name, off)
	}
	if len(p) == 0 {
		_, err := s.Stat(ctx, name)
		return err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	for try := 1; ; try++ {
		n, err := s.readSome(ctx, key, p, off)
		if p, off = p[n:], off+int64(n); len(p) == 0 {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("object %s: %d bytes at %d: %w", name, len(p), off, io.ErrUnexpectedEOF)
		}
		if try == resumes || !errors.As(err, new(errBroken)) || !pause(ctx, try) {
			return failure(ctx, "read", name, err)
		}
	}
}

// readSome reads up to len(p) bytes with one request. io.ErrUnexpectedEOF says that the object ends before; an
// errBroken, that another request may bring the rest.
func (s *Store) readSome(ctx context.Context, key string, p []byte, off int64) (int, error) {
	var opts minio.GetObjectOptions
	opts.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	body, info, header, err := s.core.GetObject(ctx, s.place.bucket, key, opts)
	if code(err) == minio.InvalidRange {
		return 0, io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, err
	}
	defer body.Close()
	size, err := objectSize(header, off, info.Size)
	if err != nil {
		return 0, err
	}
	if size-off < int64(len(p)) {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := io.ReadFull(body, p)
	if err != nil {
		err = errBroken{err}
	}
	return n, err
}

// objectSize returns the size of the object of which an answer is a part (RFC 9110, section 14.4). One without a range
// is the whole object, which serves where it was to be read from its beginning.
func objectSize(header http.Header, off, length int64) (int64, error) {
	r := header.Get("Content-Range")
	if r == "" && off == 0 {
		return length, nil
	}
	first, total, ok := strings.Cut(strings.TrimPrefix(r, "bytes "), "/")
	first, _, dash := strings.Cut(first, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	size, err2 := strconv.ParseInt(total, 10, 64)
	if !ok || !dash || err != nil || err2 != nil || start != off {
		return 0, fmt.Errorf("asked for the bytes from %d on, the service answered Content-Range %q", off, r)
	}
	return size, nil
}

// pause waits before another attempt; false says that the context has ended.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(min(firstPause<<(try-1), longestPause))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Distant says that every request takes its time.
func (s *Store) Distant() {}
