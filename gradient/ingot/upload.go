package ingot

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
)

// UploadService takes disk images from files, for those who have no place with a URL: by the protocol of tus.io,
// version 1.0, with the extensions creation, expiration and termination.
type UploadService struct{ Options []option.RequestOption }

// Upload is a file that is being uploaded.
type Upload struct {
	ID string
	// Size and Offset are the bytes of the whole file, and those that the service has.
	Size, Offset int64
	// ExpiresAt is when the service forgets an upload that has not been finished; zero: it did not say.
	ExpiresAt time.Time
}

// ImageURL is the URL to create an image with from the upload.
func (u *Upload) ImageURL() string { return "upload:" + u.ID }

// UploadNewParams describes a file.
type UploadNewParams struct {
	Size int64 // in bytes
	// Metadata is kept with the upload; the key filename is the usual one. Keys hold no blanks and no commas.
	Metadata map[string]string
}

// New begins an upload. Nothing is sent yet. The request is sent again only where the service certainly has not got it: a
// second upload, of which nobody knows, would hold its part of the quota for a day.
func (s *UploadService) New(ctx context.Context, params UploadNewParams, opts ...option.RequestOption) (*Upload, error) {
	metadata, err := encodeMetadata(params.Metadata)
	if err != nil {
		return nil, err
	}
	if params.Size < 0 {
		return nil, fmt.Errorf("an upload of %d bytes", params.Size)
	}
	headers := []option.RequestOption{requestconfig.Once(), option.WithHeader("Upload-Length", strconv.FormatInt(params.Size, 10))}
	if metadata != "" {
		headers = append(headers, option.WithHeader("Upload-Metadata", metadata))
	}
	res, err := s.send(ctx, http.MethodPost, "v2/uploads", slices.Concat(opts, headers))
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusCreated || u.Path == "" {
		return nil, fmt.Errorf("v2/uploads: the service answers %s without the address of an upload", res.Status)
	}
	return &Upload{ID: path.Base(u.Path), Size: params.Size, ExpiresAt: expiry(res)}, nil
}

func encodeMetadata(m map[string]string) (string, error) {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key == "" || strings.ContainsAny(key, " ,\r\n\t") {
			return "", fmt.Errorf("the metadata key %q is empty or holds blanks or commas", key)
		}
		pairs = append(pairs, key+" "+base64.StdEncoding.EncodeToString([]byte(m[key])))
	}
	return strings.Join(pairs, ","), nil
}

func expiry(res *http.Response) time.Time {
	t, err := http.ParseTime(res.Header.Get("Upload-Expires"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Get asks how much of an upload the service has.
func (s *UploadService) Get(ctx context.Context, id string, opts ...option.RequestOption) (*Upload, error) {
	p, err := uploadPath(id)
	if err != nil {
		return nil, err
	}
	res, err := s.send(ctx, http.MethodHead, p, opts)
	if err != nil {
		return nil, err
	}
	u := &Upload{ID: id, ExpiresAt: expiry(res)}
	if u.Offset, err = offset(res, "Upload-Offset"); err != nil {
		return nil, err
	}
	u.Size, err = offset(res, "Upload-Length")
	return u, err
}

// Delete ends an upload and frees what it held.
func (s *UploadService) Delete(ctx context.Context, id string, opts ...option.RequestOption) error {
	p, err := uploadPath(id)
	if err != nil {
		return err
	}
	_, err = s.send(ctx, http.MethodDelete, p, opts)
	return err
}

// Upload uploads size bytes of r: New and Resume in one. With an error it returns the upload too, if one was begun,
// to resume it later. progress is told how many bytes were sent, and may be nil.
func (s *UploadService) Upload(ctx context.Context, r io.ReaderAt, params UploadNewParams, progress func(sent int64), opts ...option.RequestOption) (*Upload, error) {
	u, err := s.New(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	done, err := s.Resume(ctx, u.ID, r, params.Size, progress, opts...)
	if err != nil {
		return u, err
	}
	return done, nil
}

// Resume sends what the service lacks of an upload, and goes on by itself when the connection breaks or the service is
// away for up to five minutes. r must hold what
// it held when the upload began, in size bytes. progress is told how many bytes were sent, one call at a time; after
// a break the number can be smaller than before. It may be nil.
func (s *UploadService) Resume(ctx context.Context, id string, r io.ReaderAt, size int64, progress func(sent int64), opts ...option.RequestOption) (*Upload, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	p, last := patience{}, int64(-1)
	for {
		u, err := s.Get(ctx, id, opts...)
		if err == nil && (u.Size != size || u.Offset > size) {
			return u, fmt.Errorf("the upload is of a file of %d bytes, not of one of %d", u.Size, size)
		}
		if err == nil {
			if u.Offset > last {
				p.progress()
			}
			last = u.Offset
			progress(u.Offset)
			err = s.sendRest(ctx, u, r, progress, opts)
		}
		if err == nil && u.Offset == size {
			return u, nil
		}
		if err == nil {
			continue // a part was taken
		}
		if err := p.again(ctx, err); err != nil {
			return nil, err
		}
	}
}

// send sends a request of the protocol that has no body to read.
func (s *UploadService) send(ctx context.Context, method, p string, opts []option.RequestOption) (*http.Response, error) {
	c, err := requestconfig.New(ctx, method, p, nil, nil, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	c.Header.Set("Tus-Resumable", "1.0.0")
	res, err := c.Send()
	if err != nil {
		return nil, err
	}
	return res, res.Body.Close()
}

func uploadPath(id string) (string, error) {
	segment, err := requestconfig.PathString("upload_id", id)
	return "v2/uploads/" + segment, err
}

func offset(res *http.Response, header string) (int64, error) {
	n, err := strconv.ParseInt(res.Header.Get(header), 10, 64)
	if err != nil || n < 0 {
		return 0, errors.New("the service does not speak tus 1.0: its answer lacks " + header)
	}
	return n, nil
}
