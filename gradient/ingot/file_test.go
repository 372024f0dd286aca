package ingot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

func TestFile(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	f, err := s.client.Files.Open(t.Context(), s.available(t), ingot.FileOpenParams{})
	if err != nil || f.Size() != int64(len(disk)) || !strings.HasSuffix(f.ETag(), `-raw"`) {
		t.Fatalf("%+v, %v", f, err)
	}
	for _, off := range []int64{0, 1, 1<<20 - 7, int64(len(disk)) - 1, int64(len(disk)), int64(len(disk)) + 1} {
		r := f.NewReader(off)
		got, err := io.ReadAll(r)
		if want := disk[min(off, int64(len(disk))):]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d: %d bytes, %v", off, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read of a closed reader: %v", err)
		}
	}
	for _, off := range []int64{0, 1_048_570, 2_999_000} {
		p := make([]byte, 5000)
		n, err := f.ReadAt(p, off)
		want := disk[off:min(off+5000, int64(len(disk)))]
		if !bytes.Equal(p[:n], want) || (err == io.EOF) != (len(want) < 5000) {
			t.Errorf("at %d: %d bytes, %v", off, n, err)
		}
	}
	if _, err := f.ReadAt(make([]byte, 1), f.Size()); err != io.EOF {
		t.Error(err)
	}
	if _, err := f.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("before the start")
	}
}

func TestFileIsAReaderAt(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	f, err := s.client.Files.Open(t.Context(), s.available(t), ingot.FileOpenParams{Format: ingot.FileFormatRaw})
	if err != nil {
		t.Fatal(err)
	}
	const start, size = 1<<20 - 100, 300
	if err := iotest.TestReader(io.NewSectionReader(f, start, size), disk[start:start+size]); err != nil {
		t.Error(err)
	}
}

func TestFileAsQCOW2(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	f, err := s.client.Files.Open(t.Context(), s.available(t), ingot.FileOpenParams{Format: ingot.FileFormatQCOW2})
	if err != nil {
		t.Fatal(err)
	}
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err != nil || string(magic) != "QFI\xfb" {
		t.Errorf("%q, %v", magic, err)
	}
}

func TestFileThatIsNone(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	var e *gradient.Error
	if _, err := s.client.Files.Open(t.Context(), s.create(t), ingot.FileOpenParams{}); !errors.As(err, &e) || e.StatusCode != 422 {
		t.Error(err)
	}
	if _, err := s.client.Files.Open(t.Context(), 99, ingot.FileOpenParams{}); !errors.As(err, &e) || e.StatusCode != 404 {
		t.Error(err)
	}
}

// cutBody breaks off after some bytes.
type cutBody struct {
	io.Reader
	io.Closer
}

// TestDownloadGoesOn: the connection breaks again and again, and what arrives is the file.
func TestDownloadGoesOn(t *testing.T) {
	t.Parallel()
	var ranges []string
	cutEach := option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		res, err := next(r)
		if err == nil && r.Method == http.MethodGet && r.Header.Get("Range") != "" {
			ranges = append(ranges, r.Header.Get("Range"))
			res.Body = cutBody{io.MultiReader(io.LimitReader(res.Body, 1_000_000), iotest.ErrReader(io.ErrUnexpectedEOF)), res.Body}
		}
		return res, err
	})
	s := newReal(t, cutEach)
	f, err := s.client.Files.Open(t.Context(), s.available(t), ingot.FileOpenParams{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f.NewReader(0))
	if err != nil || !bytes.Equal(got, disk) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	last := len(disk) - 1
	if want := fmt.Sprintf("[bytes=0-%[1]d bytes=1000000-%[1]d bytes=2000000-%[1]d bytes=3000000-%[1]d]", last); fmt.Sprint(ranges) != want {
		t.Errorf("%v, want %s", ranges, want)
	}
}

// part answers with a part of a file, as its headers say.
func part(status int, body string, headers ...string) http.HandlerFunc {
	return gradienttest.Answer(status, body, append([]string{"Content-Type", "application/octet-stream"}, headers...)...)
}

// TestDownloadDoesNotMix: whatever does not fit what was begun is an error, not data.
func TestDownloadDoesNotMix(t *testing.T) {
	t.Parallel()
	head := part(200, "", "Content-Length", "10", "ETag", `"a"`)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"another file":        {part(412, `{"id":"precondition_failed","message":"x"}`), "another file"},
		"the whole of it":     {part(200, "0123456789", "ETag", `"a"`), "another file"},
		"another range":       {part(206, "0123", "ETag", `"a"`, "Content-Range", "bytes 0-3/10"), "another file"},
		"another size":        {part(206, "456789", "ETag", `"a"`, "Content-Range", "bytes 4-9/11"), "another file"},
		"another ETag":        {part(206, "456789", "ETag", `"b"`, "Content-Range", "bytes 4-9/10"), "another file"},
		"deleted":             {gradienttest.Answer(404, `{"id":"not_found","message":"gone"}`), "gone"},
		"more than was asked": {part(206, "456789xxx", "ETag", `"a"`, "Content-Range", "bytes 4-9/10"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newFaulty(t, head, test.answer)
			f, err := client.Files.Open(t.Context(), 7, ingot.FileOpenParams{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f.NewReader(4))
			switch {
			case test.err == "":
				if err != nil || string(got) != "456789" {
					t.Errorf("%q, %v", got, err)
				}
			case err == nil || !strings.Contains(err.Error(), test.err) || len(got) != 0:
				t.Errorf("%q, %v", got, err)
			}
			if r := server.Requests()[1]; r.Header.Get("If-Match") != `"a"` || r.Header.Get("Range") != "bytes=4-9" {
				t.Errorf("asked with %v", r.Header)
			}
		})
	}
}

func TestFileThatCannotBeResumed(t *testing.T) {
	t.Parallel()
	for _, headers := range [][]string{{"Content-Length", "10"}, {"Content-Length", "10", "ETag", `W/"a"`}} {
		_, client := newFaulty(t, part(200, "", headers...))
		if _, err := client.Files.Open(t.Context(), 7, ingot.FileOpenParams{}); err == nil || !strings.Contains(err.Error(), "ETag") {
			t.Error(err)
		}
	}
}
