package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const stamp = "Mon, 01 Jan 2024 00:00:00 GMT"

// The file is cut at 20,000 of 50,000 bytes; then the second answer comes, after which all is well.
func TestSecondAnswer(t *testing.T) {
	body := content(50_000, 20)
	rest := body[20_000:]
	type answer struct {
		status int
		header string // "Name: value" lines
		body   []byte
	}
	for name, test := range map[string]struct {
		first    string
		second   answer
		ifRange  string
		code     string // "": the file arrives whole
		temp     bool
		checksum bool
	}{
		"strong etag":             {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/50000\n" + `ETag: "a"`, rest}, ifRange: `"a"`},
		"etag before date":        {first: "ETag: \"a\"\nLast-Modified: " + stamp, second: answer{206, "Content-Range: bytes 20000-49999/50000", rest}, ifRange: `"a"`},
		"date":                    {first: "Last-Modified: " + stamp, second: answer{206, "Content-Range: bytes 20000-49999/50000", rest}, ifRange: stamp},
		"date for weak etag":      {first: "ETag: W/\"a\"\nLast-Modified: " + stamp, second: answer{206, "Content-Range: bytes 20000-49999/50000", rest}, ifRange: stamp},
		"total unknown":           {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/*", rest}, ifRange: `"a"`},
		"size learnt":             {first: "Transfer-Encoding: chunked\n" + `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/50000", rest}, ifRange: `"a"`},
		"a part of the rest":      {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-29999/50000", rest[:10_000]}, ifRange: `"a"`},
		"no version, checksum":    {second: answer{206, "Content-Range: bytes 20000-49999/50000", rest}, checksum: true},
		"no version":              {code: "source_interrupted", temp: true},
		"weak etag alone":         {first: `ETag: W/"a"`, code: "source_interrupted", temp: true},
		"no ranges":               {first: `ETag: "a"`, second: answer{200, `ETag: "a"`, body}, ifRange: `"a"`, code: "source_no_resume", temp: true},
		"no version, no ranges":   {second: answer{200, "", body}, checksum: true, code: "source_no_resume", temp: true},
		"changed etag, whole":     {first: `ETag: "a"`, second: answer{200, `ETag: "b"`, body}, ifRange: `"a"`, code: "source_changed"},
		"changed etag, part":      {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/50000\n" + `ETag: "b"`, rest}, ifRange: `"a"`, code: "source_changed"},
		"changed date":            {first: "Last-Modified: " + stamp, second: answer{200, "Last-Modified: Tue, 02 Jan 2024 00:00:00 GMT", body}, ifRange: stamp, code: "source_changed"},
		"changed size":            {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/50001", rest}, ifRange: `"a"`, code: "source_changed"},
		"changed encoding":        {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/50000\nContent-Encoding: gzip", rest}, ifRange: `"a"`, code: "source_changed"},
		"beyond the end":          {first: `ETag: "a"`, second: answer{416, "Content-Range: bytes */10000", nil}, ifRange: `"a"`, code: "source_changed"},
		"another place":           {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 10000-49999/50000", body[10_000:]}, ifRange: `"a"`, code: "source_range", temp: true},
		"length is not the range": {first: `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/50000", rest[:9]}, ifRange: `"a"`, code: "source_range", temp: true},
		"no Content-Range":        {first: `ETag: "a"`, second: answer{206, "", rest}, ifRange: `"a"`, code: "source_range", temp: true},
		"never a size":            {first: "Transfer-Encoding: chunked\n" + `ETag: "a"`, second: answer{206, "Content-Range: bytes 20000-49999/*", rest}, ifRange: `"a"`, code: "source_range", temp: true},
		"multipart":               {first: `ETag: "a"`, second: answer{206, "Content-Type: multipart/byteranges; boundary=B", []byte("--B\r\nContent-Range: bytes 20000-20001/50000\r\n\r\nab\r\n--B--")}, ifRange: `"a"`, code: "source_range", temp: true},
		"signed link ran out":     {first: `ETag: "a"`, second: answer{403, "", nil}, ifRange: `"a"`, code: "source_forbidden"},
		"gone meanwhile":          {first: `ETag: "a"`, second: answer{404, "", nil}, ifRange: `"a"`, code: "source_not_found"},
		"busy meanwhile":          {first: `ETag: "a"`, second: answer{503, "Retry-After: 0", nil}, ifRange: `"a"`},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				set := func(lines string) {
					for line := range strings.Lines(lines) {
						name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
						w.Header().Set(name, value)
					}
				}
				switch asked.Add(1) {
				case 1:
					set(test.first)
					if w.Header().Get("Transfer-Encoding") == "" {
						w.Header().Set("Content-Length", "50000")
					}
					w.Write(body[:20_000])
					cut(w)
				case 2:
					if got := r.Header.Get("Range"); got != "bytes=20000-" {
						t.Errorf("Range: %q", got)
					}
					if got := r.Header.Get("If-Range"); got != test.ifRange {
						t.Errorf("If-Range: %q, want %q", got, test.ifRange)
					}
					set(test.second.header)
					w.Header().Set("Content-Length", fmt.Sprint(len(test.second.body)))
					w.WriteHeader(test.second.status)
					w.Write(test.second.body)
				default:
					var from int
					fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
					w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-49999/50000", from))
					w.WriteHeader(206)
					w.Write(body[from:])
				}
			})
			if test.checksum {
				sum := sha256.Sum256(body)
				url += "#sha256=" + hex.EncodeToString(sum[:])
			}
			if test.code == "" {
				mustFetch(t, newClient(t), url, body)
				return
			}
			got, err := fetch(t, newClient(t), url)
			mustRefuse(t, err, test.code, test.temp)
			if !bytes.Equal(got, body[:20_000]) {
				t.Errorf("%d bytes came before the refusal, want the first 20000", len(got))
			}
		})
	}
}

// flaky serves a file as http.ServeContent does, but ends each connection after step bytes.
func flaky(t testing.TB, body []byte, step int, end func(http.ResponseWriter)) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(&stopAfter{ResponseWriter: w, left: step, end: end}, r, "", time.Time{}, bytes.NewReader(body))
	})
	return url, asked
}

type stopAfter struct {
	http.ResponseWriter
	left int
	end  func(http.ResponseWriter)
}

func (w *stopAfter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(len(p), w.left)])
	if w.left -= n; w.left == 0 {
		w.end(w.ResponseWriter)
	}
	return n, err
}

func TestManyResumes(t *testing.T) {
	body := content(1<<20, 21)
	url, asked := flaky(t, body, 30_000, cut)
	mustFetch(t, newClient(t), url, body)
	if want := int64(len(body)/30_000 + 1); asked.Load() != want {
		t.Errorf("%d requests, want %d", asked.Load(), want)
	}
}

func TestResumeAfterStall(t *testing.T) {
	body := content(100_000, 22)
	url, _ := flaky(t, body, 40_000, func(w http.ResponseWriter) {
		http.NewResponseController(w).Flush()
		time.Sleep(300 * time.Millisecond)
	})
	mustFetch(t, newClient(t, func(o *Options) { o.Limits.Idle = 50 * time.Millisecond }), url, body)
}

// Connections that bring too little end the transfer however many there are.
func TestResumesWithoutProgress(t *testing.T) {
	body := content(1<<20, 23)
	url, asked := flaky(t, body, 100, cut)
	got, err := fetch(t, newClient(t), url)
	mustRefuse(t, err, "source_interrupted", true)
	if n := int64(quick.Resumes); asked.Load() != n || len(got) != int(n)*100 {
		t.Errorf("%d requests brought %d bytes, want %d requests", asked.Load(), len(got), n)
	}
}

// A source that brings enough, and then fails for longer than that is worth, is given up like one that brings nothing.
func TestResumesTooSlowly(t *testing.T) {
	body := content(1<<20, 25)
	var asked atomic.Int64
	url, _ := flaky(t, body, int(quick.Progress), func(w http.ResponseWriter) {
		asked.Add(1)
		time.Sleep(20 * time.Millisecond)
		cut(w)
	})
	got, err := fetch(t, newClient(t, func(o *Options) { o.Limits.MinRate = 1 << 20 }), url)
	mustRefuse(t, err, "source_interrupted", true)
	if n := int64(quick.Resumes); asked.Load() != n {
		t.Errorf("%d requests brought %d bytes, want %d requests", asked.Load(), len(got), n)
	}
}

// Before the first byte nothing is lost: the request is made again as it was, and must find the same file.
func TestCutBeforeFirstByte(t *testing.T) {
	body := content(1000, 24)
	for name, length := range map[string]int{"same": 1000, "changed": 999} {
		var asked atomic.Int64
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				t.Error("a range was asked for")
			}
			if asked.Add(1) == 1 {
				w.Header().Set("Content-Length", "1000")
				cut(w)
			}
			w.Write(body[:length])
		})
		got, err := fetch(t, newClient(t), url)
		if name == "changed" {
			mustRefuse(t, err, "source_changed", false)
		} else if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

func TestSeekableServer(t *testing.T) {
	body := content(200_000, 25)
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		out := w
		if asked.Add(1) == 1 {
			out = &stopAfter{ResponseWriter: w, left: 150_000, end: cut}
		}
		http.ServeContent(out, r, "", time.Unix(1700000000, 0), bytes.NewReader(body))
	})
	mustFetch(t, newClient(t), url, body)
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-99/100", "bytes 5-9/*", "bytes */100", "bytes 9-5/10", "bytes 0-9223372036854775807/9223372036854775807", "", "bytes -1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		start, end, total, err := parseContentRange(s)
		if err == nil && (start < 0 || end < start || (total != unknown && end >= total) || end-start+1 <= 0) {
			t.Fatalf("%q: %d-%d/%d", s, start, end, total)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	const size = 64 << 20
	block := content(1<<20, 26)
	url := serve(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range size / len(block) {
			w.Write(block)
		}
	})
	c := newClient(b)
	b.SetBytes(size)
	buf := make([]byte, 1<<20)
	for b.Loop() {
		s, err := c.Open(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, buf); n != size || err != nil {
			b.Fatal(n, err)
		}
		s.Close()
	}
}
