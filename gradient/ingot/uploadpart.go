package ingot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
)

// maxPart bounds one request of an upload, in bytes: proxies have limits, and some hold a request back until it is
// whole.
const maxPart = 256 << 20

// sourceError is an error of the file that is uploaded: no fault of the connection.
type sourceError struct{ cause error }

func (e *sourceError) Error() string { return e.cause.Error() }

func (e *sourceError) Unwrap() error { return e.cause }

// sendRest sends the next part of what the service lacks, and sets u.Offset to what it has then.
func (s *UploadService) sendRest(ctx context.Context, u *Upload, r io.ReaderAt, progress func(int64), opts []option.RequestOption) error {
	if u.Offset == u.Size {
		return nil
	}
	path, err := uploadPath(u.ID)
	if err != nil {
		return err
	}
	w := newWatch(ctx)
	defer w.stop()
	c, err := requestconfig.New(w.ctx, http.MethodPatch, path, nil, nil, merged(s.Options, opts)...)
	if err != nil {
		return err
	}
	part := &part{r: r, off: u.Offset, end: min(u.Size, u.Offset+maxPart), size: u.Size, moved: func(off int64) {
		w.heard()
		progress(off)
	}}
	c.RequestTimeout = 0
	c.Header.Set("Tus-Resumable", "1.0.0")
	c.Header.Set("Upload-Offset", strconv.FormatInt(u.Offset, 10))
	c.SetStream("application/offset+octet-stream", part, part.end-part.off)
	res, err := c.Send()
	if failed := part.close(); failed != nil {
		err = failed // what the transport makes of it is less clear
	}
	if err != nil {
		return w.explain(err)
	}
	res.Body.Close()
	had := u.Offset
	if u.Offset, err = offset(res, "Upload-Offset"); err != nil {
		return err
	}
	if u.Offset <= had {
		return errors.New("the service took nothing of the upload")
	}
	return nil
}

// part reads one request's bytes of a file. The transport may read on for a moment when the request has failed
// already; closed, it gives nothing any more.
type part struct {
	mu             sync.Mutex
	r              io.ReaderAt
	off, end, size int64
	moved          func(off int64)
	failed         error
	closed         bool
}

// Read implements io.Reader.
func (p *part) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, io.ErrClosedPipe
	case p.off >= p.end:
		return 0, io.EOF
	}
	n, err := p.r.ReadAt(b[:min(int64(len(b)), p.end-p.off)], p.off)
	p.off += int64(n)
	if n > 0 {
		p.moved(p.off)
		return n, nil // an error comes again, if it lasts
	}
	if err == io.EOF {
		err = fmt.Errorf("the file ends at %d of %d bytes: it has become shorter since the upload began", p.off, p.size)
	}
	p.failed = &sourceError{err}
	return 0, p.failed
}

// close returns what went wrong with the file.
func (p *part) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.failed
}
