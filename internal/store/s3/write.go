package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"ingot/internal/store"
)

const (
	// partSize is how much of an object is sent at once. A pack is four or five parts; S3 takes 10,000 of an object.
	partSize = 8 << 20

	// partsAhead is how many parts are on their way while the next is filled; so a writer holds 24 MB at most.
	partsAhead = 2

	// abortLimit bounds the abort of an upload, which goes on when its writer was cancelled.
	abortLimit = 30 * time.Second
)

// writer is one object on its way. What fits into a part is sent as one PUT; more is a multipart upload, of which
// nothing is seen before it is completed.
type writer struct {
	ctx       context.Context // the caller's
	store     *Store
	name, key string

	buffer *[]byte // the part being filled; nil: empty
	used   int     // of buffer
	size   int64   // written so far

	upload  string          // "": not begun
	sending *errgroup.Group // nil: no part sent
	parting context.Context // of sending
	stop    context.CancelFunc
	parts   []*minio.CompletePart // each filled in when it has arrived
	ended   bool
}

// Create begins an object.
func (s *Store) Create(ctx context.Context, name string) (store.ObjectWriter, error) {
	key, err := s.key(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &writer{ctx: ctx, store: s, name: name, key: key}, nil
}

// Write sends a part when it is full and there is more to come.
func (w *writer) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		if err := w.broken(); err != nil {
			return written, err
		}
		if w.used == partSize {
			if err := w.send(); err != nil {
				return written, err
			}
		}
		if w.buffer == nil {
			w.buffer = w.store.buffer.Get().(*[]byte)
		}
		n := copy((*w.buffer)[w.used:], p)
		w.used, w.size, written, p = w.used+n, w.size+int64(n), written+n, p[n:]
	}
	return written, nil
}

// broken returns why there is no sense in going on.
func (w *writer) broken() error {
	if w.ended {
		return fs.ErrClosed
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.sending != nil && w.parting.Err() != nil {
		return context.Cause(w.parting)
	}
	return nil
}

// send puts the buffer on its way as the next part.
func (w *writer) send() error {
	if w.upload == "" {
		ctx, cancel := bound(w.ctx)
		defer cancel()
		id, err := w.store.core.NewMultipartUpload(ctx, w.store.place.bucket, w.key, putOptions())
		if err != nil {
			return failure(ctx, "begin the upload of", w.name, err)
		}
		w.upload = id
		parting, stop := context.WithCancel(w.ctx)
		w.stop = stop
		w.sending, w.parting = errgroup.WithContext(parting)
		w.sending.SetLimit(partsAhead)
	}
	part := &minio.CompletePart{PartNumber: len(w.parts) + 1}
	w.parts = append(w.parts, part)
	buffer, n := w.buffer, w.used
	w.buffer, w.used = nil, 0
	w.sending.Go(func() error {
		defer w.store.buffer.Put(buffer)
		return w.sendPart(part, (*buffer)[:n])
	})
	return nil
}

// sendPart sends one part. The request is signed over the SHA-256 of its bytes, so that the service takes these or none.
func (w *writer) sendPart(part *minio.CompletePart, b []byte) error {
	ctx, cancel := bound(w.parting)
	defer cancel()
	sent, err := w.store.core.PutObjectPart(ctx, w.store.place.bucket, w.key, w.upload, part.PartNumber,
		bytes.NewReader(b), int64(len(b)), minio.PutObjectPartOptions{Sha256Hex: sum(b), DisableContentSha256: true})
	if err != nil {
		return failure(ctx, fmt.Sprintf("send part %d of", part.PartNumber), w.name, err)
	}
	part.ETag = sent.ETag
	return nil
}

// Commit makes the object visible. When it returns nil the service has acknowledged all of it.
func (w *writer) Commit() error {
	if err := w.broken(); err != nil {
		return err
	}
	err := w.commit()
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	w.end()
	return nil
}

func (w *writer) commit() error {
	if w.upload == "" {
		return w.putWhole()
	}
	if w.used > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	if err := w.sending.Wait(); err != nil {
		return err
	}
	ctx, cancel := bound(w.ctx)
	defer cancel()
	parts := make([]minio.CompletePart, len(w.parts))
	for i, p := range w.parts {
		parts[i] = *p
	}
	_, err := w.store.core.CompleteMultipartUpload(ctx, w.store.place.bucket, w.key, w.upload, parts, minio.PutObjectOptions{})
	if err != nil && !w.arrived() {
		return failure(ctx, "complete", w.name, err)
	}
	return nil
}

// arrived says that the object is there although completing its upload failed: the answer to the attempt that did it
// was lost, and the next was told that there is no such upload. A name is used once and an upload is completed whole,
// so an object of the right size is this one.
func (w *writer) arrived() bool {
	size, err := w.store.Stat(w.ctx, w.name)
	return err == nil && size == w.size
}

func (w *writer) putWhole() error {
	ctx, cancel := bound(w.ctx)
	defer cancel()
	var b []byte
	if w.buffer != nil {
		b = (*w.buffer)[:w.used]
	}
	opts := putOptions()
	opts.DisableContentSha256 = true // it is given: the request is signed over it
	_, err := w.store.core.PutObject(ctx, w.store.place.bucket, w.key, bytes.NewReader(b), int64(len(b)), "", sum(b), opts)
	if err != nil {
		return failure(ctx, "write", w.name, err)
	}
	return nil
}

// Abort gives up the upload, so that its parts cost nothing any more; also when its context has ended.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	defer w.end()
	if w.upload == "" {
		return nil
	}
	w.stop()
	w.sending.Wait() // a part that arrives after the abort would stay
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortLimit)
	defer cancel()
	err := w.store.core.AbortMultipartUpload(ctx, w.store.place.bucket, w.key, w.upload)
	if err != nil && code(err) != minio.NoSuchUpload {
		return failure(ctx, "abort the upload of", w.name, err)
	}
	return nil
}

func (w *writer) end() {
	w.ended = true
	if w.stop != nil {
		w.stop()
	}
	if w.buffer != nil {
		w.store.buffer.Put(w.buffer)
		w.buffer = nil
	}
}

func putOptions() minio.PutObjectOptions {
	return minio.PutObjectOptions{ContentType: "application/octet-stream"}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
