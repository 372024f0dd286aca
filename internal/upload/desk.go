package upload

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"

	"ingot/internal/image"
)

// desk is the library's store: files, each with a row that says whose it is. The row is made before the file and ends
// before it, so that a crash leaves no file that nobody knows.
type desk struct{ u *Uploads }

var errEmpty = handler.NewError("ERR_EMPTY", "An empty file is no image: Upload-Length must be at least 1.", http.StatusUnprocessableEntity)

// errInterrupted takes the place of the library's error of that name, which is a bad request: clients give up after one,
// and an upload that two of them send would end there. What is locked they try again.
var errInterrupted = handler.NewError("ERR_UPLOAD_INTERRUPTED",
	"Another request for this upload has ended this one. What has arrived is kept; ask by HEAD where to go on.", http.StatusLocked)

// NewUpload registers an upload and makes its file.
func (d desk) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	if info.Size == 0 {
		return nil, errEmpty
	}
	j := jobOf(ctx)
	var id [16]byte
	rand.Read(id[:])
	info.ID, info.MetaData = hex.EncodeToString(id[:]), nil // a name that a client gives is nothing that we need
	row, err := d.u.catalog.AddUpload(ctx, j.account, info.ID, info.Size)
	if err != nil {
		return nil, wireError(err)
	}
	j.upload = row
	if err := makeFile(d.u.path(info.ID)); err != nil {
		return nil, wireError(errors.Join(err, d.u.catalog.EndUpload(ctx, j.account, info.ID)))
	}
	return piece{file{d.u.path(info.ID), info}, d, j}, nil
}

// GetUpload returns an upload of the account that asks.
func (d desk) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	if !image.IsUploadID(id) { // what a path can hold is more than PostgreSQL takes for text
		return nil, handler.ErrNotFound
	}
	j := jobOf(ctx)
	row, err := d.u.catalog.Upload(ctx, j.account, id)
	if err != nil {
		return nil, wireError(err)
	}
	j.upload = row
	if err := d.u.dropUnchecked(id); err != nil {
		return nil, wireError(err)
	}
	f, err := openFile(d.u.path(id), row)
	if err != nil {
		return nil, wireError(err)
	}
	p := piece{f, d, j}
	if f.info.Offset == f.info.Size && !row.Complete {
		err = p.FinishUpload(ctx) // a crash came between the last byte and the row
		return p, err
	}
	return p, nil
}

// AsTerminatableUpload is the library's way to delete.
func (d desk) AsTerminatableUpload(upload handler.Upload) handler.TerminatableUpload {
	return upload.(piece)
}

// wireError is what a client is told of an error.
func wireError(err error) error {
	var e *image.Error
	switch {
	case errors.As(err, new(handler.Error)):
		return err
	case image.KindOf(err) == image.NotFound:
		return handler.ErrNotFound
	case errors.As(err, &e) && e.Kind == image.Invalid:
		return handler.NewError("ERR_INVALID", e.Message, http.StatusUnprocessableEntity)
	case errors.As(err, &e) && e.Kind == image.Busy:
		return handler.NewError("ERR_BUSY", e.Message, http.StatusServiceUnavailable)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return handler.NewError("ERR_NO_SPACE", "The service has no disk space left for the file. What has arrived is kept; try again later.", http.StatusInsufficientStorage)
	}
	return err
}

// piece is one upload under one request, which holds its lock.
type piece struct {
	file
	d   desk
	job *job
}

// WriteChunk appends what a request brings. Where it comes with a checksum, what does not match is dropped, and so is
// what was cut short.
func (p piece) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	close(p.job.reads)
	id := p.job.upload.ID
	body := &patient{Reader: src, keep: func() { _, _ = p.d.u.catalog.KeepUpload(ctx, id, false) }, kept: time.Now()}
	sum, err := parseChecksum(p.job.checksum)
	if err != nil {
		return 0, err
	}
	if sum == nil {
		n, err := p.file.WriteChunk(ctx, offset, body)
		if err == nil && p.job.interrupted.Load() {
			err = errInterrupted
		}
		return n, errors.Join(wireError(err), p.kept(ctx))
	}
	if err := p.d.u.noteUnchecked(id, offset); err != nil {
		return 0, wireError(err)
	}
	n, err := p.file.WriteChunk(ctx, offset, io.TeeReader(body, sum.hash))
	if err == nil && sum.matches() {
		return n, errors.Join(os.Remove(p.d.u.uncheckedPath(id)), p.kept(ctx))
	}
	bad := sum.mismatch()
	if p.job.interrupted.Load() {
		bad = errInterrupted
	}
	return 0, errors.Join(p.d.u.dropUnchecked(id), wireError(err), bad)
}

// kept puts off the end of the upload.
func (p piece) kept(ctx context.Context) error {
	row, err := p.d.u.catalog.KeepUpload(ctx, p.job.upload.ID, false)
	if err == nil {
		p.job.upload = row
	}
	return wireError(err)
}

// FinishUpload makes a complete file durable before its row says that it is complete.
func (p piece) FinishUpload(ctx context.Context) error {
	file, err := os.OpenFile(p.d.u.path(p.job.upload.ID), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("upload %s: %w", p.job.upload.ID, err)
	}
	row, err := p.d.u.catalog.KeepUpload(ctx, p.job.upload.ID, true)
	if err == nil {
		p.job.upload = row
	}
	return wireError(err)
}

// Terminate ends the upload and deletes its files. What a crash leaves of them is the sweep's.
func (p piece) Terminate(ctx context.Context) error {
	id := p.job.upload.ID
	p.job.upload = image.Upload{}
	if err := p.d.u.catalog.EndUpload(ctx, p.job.account, id); err != nil {
		return wireError(err)
	}
	return p.d.u.bury(ctx, id)
}

// patient puts off the end of an upload while a long request brings bytes.
type patient struct {
	io.Reader
	keep func()
	kept time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	if time.Since(p.kept) > image.UploadTime/24 {
		p.keep()
		p.kept = time.Now()
	}
	return p.Reader.Read(b)
}
