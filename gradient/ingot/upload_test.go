package ingot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

// want checks what the service has of an upload.
func (r real) want(t *testing.T, id string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(r.Uploads, id))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the service has %d bytes, %v", len(got), err)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	var sent []int64
	params := ingot.UploadNewParams{Size: int64(len(disk)), Metadata: map[string]string{"filename": "disk ä.raw", "empty": ""}}
	u, err := s.client.Uploads.Upload(t.Context(), bytes.NewReader(disk), params, func(n int64) { sent = append(sent, n) })
	if err != nil || u.Offset != u.Size || u.ImageURL() != "upload:"+u.ID {
		t.Fatalf("%+v, %v", u, err)
	}
	s.want(t, u.ID, disk)
	if sent[0] != 0 || sent[len(sent)-1] != u.Size || !isSorted(sent) {
		t.Errorf("progress: %v", sent)
	}
	images := gradient.NewClient(s.client.Options...).GPUDroplets.Images
	if _, err := images.New(t.Context(), gradient.GPUDropletImageNewParams{
		Name: gradient.String("uploaded"), URL: gradient.String(u.ImageURL()), Region: gradient.RegionSlugNyc3,
	}); err != nil {
		t.Error(err)
	}
	if err := s.client.Uploads.Delete(t.Context(), u.ID); err != nil {
		t.Error(err)
	}
	var e *gradient.Error
	if _, err := s.client.Uploads.Get(t.Context(), u.ID); !errors.As(err, &e) || e.StatusCode != 404 {
		t.Error(err)
	}
}

func isSorted(list []int64) bool {
	for i := range list[1:] {
		if list[i] > list[i+1] {
			return false
		}
	}
	return true
}

func TestEmptyUpload(t *testing.T) {
	t.Parallel()
	f, client := newFaulty(t, gradienttest.Answer(201, "", "Location", "/v2/uploads/abc"), gradienttest.Answer(200, "", "Upload-Offset", "0", "Upload-Length", "0"))
	params := ingot.UploadNewParams{Metadata: map[string]string{"filename": "disk ä.raw", "empty": ""}}
	u, err := client.Uploads.Upload(t.Context(), bytes.NewReader(nil), params, nil)
	if err != nil || u.ID != "abc" || len(f.Requests()) != 2 {
		t.Errorf("%+v, %v", u, err)
	}
	if got, want := f.Requests()[0].Header.Get("Upload-Metadata"), "empty ,filename ZGlzayDDpC5yYXc="; got != want {
		t.Errorf("metadata %q, want %q", got, want)
	}
	var e *gradient.Error
	s := newReal(t)
	if _, err := s.client.Uploads.New(t.Context(), params); !errors.As(err, &e) || e.Message == "" {
		t.Error(err) // the real service takes no empty files
	}
}

// TestUploadLeavesOptionsAlone: a caller's slice with room to spare may serve several calls at once.
func TestUploadLeavesOptionsAlone(t *testing.T) {
	t.Parallel()
	_, client := newFaulty(t, gradienttest.Answer(201, "", "Location", "/v2/uploads/abc"))
	opts := make([]option.RequestOption, 0, 8)
	if _, err := client.Uploads.New(t.Context(), ingot.UploadNewParams{Size: 10}, opts...); err != nil {
		t.Fatal(err)
	}
	if spare := opts[:1][0]; spare != nil {
		t.Errorf("an option was written behind the caller's: %v", spare)
	}
}

// breaking is a body that fails after some bytes.
type breaking struct {
	io.ReadCloser
	left int
}

var errCable = errors.New("somebody stepped on the cable")

func (b *breaking) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errCable
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// breakEach lets each PATCH send some bytes.
func breakEach(bytes int, patches *atomic.Int64) option.RequestOption {
	return option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		if r.Method == http.MethodPatch {
			patches.Add(1)
			r.Body = &breaking{r.Body, bytes}
		}
		return next(r)
	})
}

// TestUploadGoesOn: the connection breaks again and again, and what arrives is the file.
func TestUploadGoesOn(t *testing.T) {
	t.Parallel()
	var patches atomic.Int64
	s := newReal(t, breakEach(800_000, &patches))
	u, err := s.client.Uploads.Upload(t.Context(), bytes.NewReader(disk), ingot.UploadNewParams{Size: int64(len(disk))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, u.ID, disk)
	if n := patches.Load(); n < 4 || n > 12 {
		t.Errorf("%d requests", n)
	}
}

// TestUploadIsResumed by another process: all it has is the id.
func TestUploadIsResumed(t *testing.T) {
	t.Parallel()
	var patches atomic.Int64
	s := newReal(t, breakEach(1_000_000, &patches)) // so that more than these are sent only after some have arrived
	ctx, cancel := context.WithCancel(t.Context())
	u, err := s.client.Uploads.Upload(ctx, bytes.NewReader(disk), ingot.UploadNewParams{Size: int64(len(disk))}, func(sent int64) {
		if sent > 1_000_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || u == nil {
		t.Fatalf("%+v, %v", u, err)
	}
	var sent []int64
	done, err := s.client.Uploads.Resume(t.Context(), u.ID, bytes.NewReader(disk), u.Size, func(n int64) { sent = append(sent, n) })
	if err != nil || done.Offset != u.Size || sent[0] == 0 {
		t.Fatalf("%+v, %v, from %d on", done, err, sent[0])
	}
	s.want(t, u.ID, disk)
}

// TestUploadOfAFileThatShrinks ends at once, and keeps what there is.
func TestUploadOfAFileThatShrinks(t *testing.T) {
	t.Parallel()
	var patches atomic.Int64
	s := newReal(t, breakEach(1<<40, &patches))
	short := bytes.NewReader(disk[:1_000_000])
	u, err := s.client.Uploads.Upload(t.Context(), short, ingot.UploadNewParams{Size: int64(len(disk))}, nil)
	if u == nil || err == nil || !strings.Contains(err.Error(), "has become shorter") || patches.Load() != 1 {
		t.Fatalf("%+v, %v, %d requests", u, err, patches.Load())
	}
	if _, err := s.client.Uploads.Resume(t.Context(), u.ID, bytes.NewReader(disk), u.Size, nil); err != nil {
		t.Error(err)
	}
	s.want(t, u.ID, disk)
}

type brokenDisk struct{}

var errDisk = errors.New("the disk is broken")

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestUploadsThatFail(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	u, err := s.client.Uploads.New(t.Context(), ingot.UploadNewParams{Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Uploads.Resume(t.Context(), u.ID, brokenDisk{}, 10, nil); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	if _, err := s.client.Uploads.Resume(t.Context(), u.ID, brokenDisk{}, 11, nil); err == nil || !strings.Contains(err.Error(), "10 bytes, not of one of 11") {
		t.Error(err)
	}
	for want, params := range map[string]ingot.UploadNewParams{
		"metadata key": {Metadata: map[string]string{"a b": ""}},
		"upload of -1": {Size: -1},
	} {
		if _, err := s.client.Uploads.New(t.Context(), params); err == nil || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
	}
	if _, err := s.client.Uploads.Get(t.Context(), ".."); err == nil || !strings.Contains(err.Error(), "upload_id") {
		t.Error(err)
	}
}

// TestUploadAnswers: servers that refuse, and some that are none.
func TestUploadAnswers(t *testing.T) {
	t.Parallel()
	created := gradienttest.Answer(201, "", "Location", "http://elsewhere.invalid/x/v2/uploads/abc?y", "Upload-Expires", "Mon, 02 Jan 2006 15:04:05 GMT")
	has := func(offset string) http.HandlerFunc {
		return gradienttest.Answer(200, "", "Upload-Offset", offset, "Upload-Length", "10")
	}
	for name, test := range map[string]struct {
		answers []http.HandlerFunc
		err     string
		paths   []string
	}{
		"taken in two parts": {
			[]http.HandlerFunc{created, has("0"), gradienttest.Answer(204, "", "Upload-Offset", "4"), has("4"), gradienttest.Answer(204, "", "Upload-Offset", "10")},
			"", []string{"POST /v2/uploads", "HEAD /v2/uploads/abc", "PATCH /v2/uploads/abc", "HEAD /v2/uploads/abc", "PATCH /v2/uploads/abc"},
		},
		"the offset was another": {
			[]http.HandlerFunc{created, has("0"), gradienttest.Answer(409, `{}`), has("10")},
			"", []string{"POST /v2/uploads", "HEAD /v2/uploads/abc", "PATCH /v2/uploads/abc", "HEAD /v2/uploads/abc"},
		},
		"begun in doubt": {[]http.HandlerFunc{gradienttest.Answer(500, "")}, "500", []string{"POST /v2/uploads"}},
		"quota":          {[]http.HandlerFunc{gradienttest.Answer(403, `{"id":"forbidden","message":"the quota is used up"}`)}, "quota", []string{"POST /v2/uploads"}},
		"no location":    {[]http.HandlerFunc{gradienttest.Answer(201, "")}, "without the address", []string{"POST /v2/uploads"}},
		"expired":        {[]http.HandlerFunc{created, gradienttest.Answer(410, "")}, "410", []string{"POST /v2/uploads", "HEAD /v2/uploads/abc"}},
		"refused bytes":  {[]http.HandlerFunc{created, has("0"), gradienttest.Answer(413, "")}, "413", []string{"POST /v2/uploads", "HEAD /v2/uploads/abc", "PATCH /v2/uploads/abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, client := newFaulty(t, test.answers...)
			u, err := client.Uploads.Upload(t.Context(), strings.NewReader("0123456789"), ingot.UploadNewParams{Size: 10}, nil)
			if test.err == "" && (err != nil || u.ID != "abc" || u.Offset != 10) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("%+v, %v", u, err)
			}
			var paths []string
			for _, r := range f.Requests() {
				paths = append(paths, r.Method+" "+r.RequestURI)
				if r.Header.Get("Tus-Resumable") != "1.0.0" {
					t.Errorf("%s without the protocol's version", r.Method)
				}
			}
			if diff := cmp.Diff(test.paths, paths); diff != "" {
				t.Error(diff)
			}
		})
	}
}
