// Package upload keeps files that clients send in pieces, by the tus protocol (https://tus.io, version 1.0), until they
// are imported, ended or forgotten.
package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
	"golang.org/x/exp/slog"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// Catalog knows whose uploads there are, and how long they are kept. An upload that is not there (any more), or is
// another account's, is image.ErrNotFound.
type Catalog interface {
	AddUpload(ctx context.Context, account int64, id string, size int64) (image.Upload, error)
	Upload(ctx context.Context, account int64, id string) (image.Upload, error)
	KeepUpload(ctx context.Context, id string, complete bool) (image.Upload, error)
	EndUpload(ctx context.Context, account int64, id string) error
	Ended
}

// Uploads are the files in one folder. Its methods may be called by several goroutines at once; several processes may
// serve a folder's uploads, on a file system whose locks (flock) all of them see.
type Uploads struct {
	dir     string
	catalog Catalog
	tus     *handler.UnroutedHandler
}

// New returns the uploads in a folder, which is made if it is not there. A file has at most maxSize bytes.
func New(dir string, maxSize int64, catalog Catalog) (*Uploads, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	u := &Uploads{dir: dir, catalog: catalog}
	composer := handler.NewStoreComposer()
	composer.UseCore(desk{u})
	composer.UseTerminater(desk{u})
	composer.UseLocker(locker{memorylocker.New(), dir})
	var err error
	u.tus, err = handler.NewUnroutedHandler(handler.Config{
		StoreComposer:        composer,
		BasePath:             "/v2/uploads/",
		MaxSize:              maxSize,
		DisableDownload:      true,
		DisableConcatenation: true,
		Cors:                 &handler.CorsConfig{Disable: true},
		Logger:               slog.New(slog.NewTextHandler(io.Discard, nil)), // requests are logged by who serves them
	})
	return u, err
}

// errDeferred is why a client that does not know how much it will send is turned away: the bytes are the account's
// quota, taken when it begins.
var errDeferred = handler.NewError("ERR_DEFERRED_LENGTH",
	"Upload-Length must say how many bytes the file has; an upload of unknown length is not taken.", http.StatusUnprocessableEntity)

// ServeUpload answers one request of the protocol for an account. An error is answered as plain text.
func (u *Uploads) ServeUpload(w http.ResponseWriter, r *http.Request, account int64) {
	j := &job{account: account, checksum: r.Header.Get("Upload-Checksum"), reads: make(chan struct{})}
	r = r.Clone(context.WithValue(r.Context(), jobKey{}, j))
	r.URL.Path = path.Base(r.URL.Path)     // the library takes all of it for the id
	r.Header.Del("X-HTTP-Method-Override") // the method has been routed, and admitted, as it is
	answer := &answer{ResponseWriter: w, job: j}
	u.tus.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			if r.Header.Get("Upload-Defer-Length") != "" {
				http.Error(w, errDeferred.Message, errDeferred.HTTPResponse.StatusCode)
				return
			}
			u.tus.PostFile(w, r)
		case http.MethodHead:
			u.tus.HeadFile(w, r)
		case http.MethodPatch:
			u.tus.PatchFile(w, r)
		case http.MethodDelete:
			u.tus.DelFile(w, r)
		}
	})).ServeHTTP(answer, r)
}

// job is what the store needs to know of the request that it works for.
type job struct {
	account     int64
	checksum    string        // the header Upload-Checksum
	upload      image.Upload  // zero until it is known
	reads       chan struct{} // closed when the store begins to read the body
	interrupted atomic.Bool   // the body ends early, since another request wants the upload
}

type jobKey struct{}

func jobOf(ctx context.Context) *job {
	j, _ := ctx.Value(jobKey{}).(*job)
	return j
}

// answer adds what the library does not know of: when an upload expires, and checksums.
type answer struct {
	http.ResponseWriter
	job *job
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	h := a.Header()
	if at := a.job.upload.ExpiresAt; !at.IsZero() && status < 300 {
		h.Set("Upload-Expires", at.UTC().Format(http.TimeFormat))
	}
	if extensions := h.Get("Tus-Extension"); extensions != "" {
		h.Set("Tus-Extension", extensions+",expiration,checksum")
		h.Set("Tus-Checksum-Algorithm", strings.Join(algorithms(), ","))
	}
	a.ResponseWriter.WriteHeader(status)
}

// path is where a file lies; an id is one that the catalogue knows.
func (u *Uploads) path(id string) string { return filepath.Join(u.dir, id) }

// Open opens a complete upload to be imported. What is not there any more, and a file that is not what was sent, is a
// *refusal.Error.
func (u *Uploads) Open(ctx context.Context, account int64, id string) (io.ReadCloser, int64, error) {
	gone := refusal.New("upload_gone", "The upload is not there any more: another import has used it, it was deleted, or it has expired. Upload the file again.")
	row, err := u.catalog.Upload(ctx, account, id)
	if err == nil { // if the import fails, there is time for another one
		row, err = u.catalog.KeepUpload(ctx, id, false)
	}
	if errors.Is(err, image.ErrNotFound) {
		return nil, 0, gone
	}
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(u.path(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, gone
	}
	if err != nil {
		return nil, 0, fmt.Errorf("upload %s: %w", id, err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() != row.Size {
		err = shrunk(info.Size(), row.Size)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return &whole{file, row.Size, 0}, row.Size, nil
}

func shrunk(got, want int64) error {
	return refusal.New("upload_damaged", "The uploaded file has %d bytes and had %d when it was complete. Upload it again.", got, want)
}

// whole is a file that must not end early.
type whole struct {
	*os.File
	size, read int64
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.File.Read(p)
	w.read += int64(n)
	if err == io.EOF && w.read != w.size {
		err = shrunk(w.read, w.size)
	}
	return n, err
}
