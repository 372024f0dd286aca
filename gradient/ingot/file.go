package ingot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
)

// FileService gives images back as files that a hypervisor reads.
type FileService struct{ Options []option.RequestOption }

// FileFormat is the format of a file.
type FileFormat string

// The formats.
const (
	FileFormatRaw   FileFormat = "raw"
	FileFormatQCOW2 FileFormat = "qcow2"
)

// FileOpenParams says which file of an image is wanted.
type FileOpenParams struct {
	Format FileFormat // "": raw
}

// changedError says that a file is not the one that was begun.
type changedError struct{ path string }

func (e *changedError) Error() string {
	return fmt.Sprintf("%s has become another file while it was read", e.path)
}

// Open finds the file of an image that is available. Nothing of it is read yet. ctx holds for everything that is done
// with the file.
func (s *FileService) Open(ctx context.Context, imageID int64, params FileOpenParams, opts ...option.RequestOption) (*File, error) {
	id, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	f := &File{ctx: ctx, path: "v2/images/" + id + "/file", opts: merged(s.Options, opts)}
	if params.Format != "" {
		f.opts = append(f.opts, option.WithQuery("format", string(params.Format)))
	}
	c, err := requestconfig.New(ctx, http.MethodHead, f.path, nil, nil, f.opts...)
	if err != nil {
		return nil, err
	}
	c.Header.Set("Accept", "*/*")
	res, err := c.Send()
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	f.size, f.etag = res.ContentLength, res.Header.Get("ETag")
	if f.size < 0 || f.etag == "" || strings.HasPrefix(f.etag, "W/") {
		return nil, fmt.Errorf("%s: the service gives no size or no strong ETag, so that a download could not be resumed", f.path)
	}
	return f, nil
}

// File is an image as a file. It is safe for use by several goroutines.
type File struct {
	ctx  context.Context
	path string
	opts []option.RequestOption
	size int64
	etag string
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// ETag names the file's content: as long as it is the same, so is every byte.
func (f *File) ETag() string { return f.etag }

// ReadAt reads a range, by a request of its own.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("a negative offset")
	}
	if off >= f.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), f.size-off)]
	r := f.section(off, off+int64(len(want)))
	defer r.Close()
	n, err := io.ReadFull(r, want)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// NewReader reads the file from an offset on, in one request as long as nothing breaks; else it goes on from where
// it stood, and it does not mix two files. An offset past the end is at the end.
func (f *File) NewReader(off int64) io.ReadCloser { return f.section(max(off, 0), f.size) }

func (f *File) section(off, end int64) *sectionReader {
	return &sectionReader{file: f, off: off, end: end}
}

// get asks for the bytes from off to end, where there is at least one.
func (f *File) get(ctx context.Context, off, end int64) (*http.Response, error) {
	c, err := requestconfig.New(ctx, http.MethodGet, f.path, nil, nil, f.opts...)
	if err != nil {
		return nil, err
	}
	c.RequestTimeout = 0
	c.Header.Set("Accept", "*/*")
	c.Header.Set("Accept-Encoding", "identity") // a range is of the file, not of what a proxy made of it
	c.Header.Set("If-Match", f.etag)
	c.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, end-1))
	res, err := c.Send()
	if isStatus(err, http.StatusPreconditionFailed) {
		return nil, &changedError{f.path}
	}
	if err != nil {
		return nil, err
	}
	want := fmt.Sprintf("bytes %d-%d/%d", off, end-1, f.size)
	whole := res.StatusCode == http.StatusOK && off == 0 && end == f.size
	if got := res.Header.Get("Content-Range"); !whole && (res.StatusCode != http.StatusPartialContent || got != want) || res.Header.Get("ETag") != f.etag {
		res.Body.Close()
		return nil, &changedError{f.path}
	}
	return res, nil
}

// sectionReader reads from off to end and connects as often as it takes.
type sectionReader struct {
	file     *File
	off, end int64
	body     io.ReadCloser // nil: not connected
	watch    *watch
	patience patience
	closed   bool
}

// Read implements io.Reader.
func (r *sectionReader) Read(p []byte) (int, error) {
	for {
		switch {
		case r.closed:
			return 0, errors.New("read of a closed file")
		case r.off >= r.end:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		n, err := r.read(p[:min(int64(len(p)), r.end-r.off)])
		if n > 0 {
			r.off += int64(n)
			r.patience.progress()
			return n, nil // an error comes again, if it lasts
		}
		if err == nil {
			continue
		}
		r.disconnect()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err := r.patience.again(r.file.ctx, err); err != nil {
			return 0, err
		}
	}
}

func (r *sectionReader) read(p []byte) (int, error) {
	if r.body == nil {
		w := newWatch(r.file.ctx)
		res, err := r.file.get(w.ctx, r.off, r.end)
		if err != nil {
			w.stop()
			return 0, err
		}
		r.watch, r.body = w, res.Body
	}
	r.watch.heard()
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF {
		err = r.watch.explain(err)
	}
	return n, err
}

func (r *sectionReader) disconnect() {
	if r.body != nil {
		r.watch.stop()
		r.body.Close()
		r.body = nil
	}
}

// Close ends the request that is under way.
func (r *sectionReader) Close() error {
	r.closed = true
	r.disconnect()
	return nil
}
