package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// origin is the web server that images are imported from. rate slows every answer down to so many bytes a second;
// zero is no bound.
type origin struct {
	*httptest.Server
	files map[string][]byte
	rate  atomic.Int64
}

func newOrigin(t *testing.T, files map[string][]byte) *origin {
	t.Helper()
	o := &origin{files: files}
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(func() {
		o.rate.Store(0)
		o.CloseClientConnections()
		o.Close()
	})
	return o
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	content, ok := o.files[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"1"`)
	http.ServeContent(&slowWriter{w, o}, r, "", time.Time{}, bytes.NewReader(content))
}

type slowWriter struct {
	http.ResponseWriter
	o *origin
}

func (s *slowWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		rate := s.o.rate.Load()
		if rate == 0 {
			m, err := s.ResponseWriter.Write(p[n:])
			return n + m, err
		}
		var m int
		m, err = s.ResponseWriter.Write(p[n:min(len(p), n+int(rate/20)+1)])
		n += m
		s.ResponseWriter.(http.Flusher).Flush()
		time.Sleep(50 * time.Millisecond)
	}
	return n, err
}

// allow is the host and port for --allow-source.
func (o *origin) allow() string { return strings.TrimPrefix(o.URL, "http://") }

// rawDisk makes a raw disk: a partition table, random data in about a third of it, and holes.
func rawDisk(size int, seed uint64) []byte {
	disk := make([]byte, size)
	rng := rand.New(rand.NewPCG(seed, 7))
	for off := 4096; off+1<<18 <= size; off += 1 << 18 {
		if rng.IntN(3) != 0 {
			continue
		}
		for i := off; i < off+1<<18; i += 8 {
			binary.LittleEndian.PutUint64(disk[i:], rng.Uint64())
		}
	}
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
