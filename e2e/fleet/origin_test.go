package fleet

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"ingot/internal/disk/disktest"
)

// source is a file to import: a disk in some format, or what must fail with a code.
type source struct {
	name string
	file []byte
	disk []byte // as a guest sees it
	code string
	rate int // bytes a second; 0 is no bound

	open <-chan struct{} // if not nil, no bound either once it is closed
}

// origin is the web server that images are imported from.
type origin struct {
	*httptest.Server
	sources []source
	byName  map[string]source
}

// newOrigin makes the files: some large ones, then every format, each disk several times and in several formats, some of it
// slow, some broken.
func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{byName: map[string]source{}}
	for n := range uint64(3) {
		o.addLarge(n)
	}
	for n := range uint64(6) {
		o.addDisk(t, n, 1<<20+int64(n)<<19)
	}
	backed := disktest.Image(t, "qcow2", "", 1<<20, 4, 9)
	disktest.Run(t, "qemu-img", "rebase", "-u", "-F", "raw", "-b", "/etc/passwd", "-f", "qcow2", backed)
	whole := o.byName["0.qcow2"].file
	o.add(
		source{name: "backed.qcow2", file: read(t, backed), code: "qcow2_backing_file"},
		source{name: "cut.qcow2", file: whole[:len(whole)/2], code: "qcow2_truncated"},
		source{name: "page.html", file: []byte("<!DOCTYPE html><html>Sign in</html>"), code: "raw_not_a_disk"},
		source{name: "missing", code: "source_not_found"},
	)
	o.listen(t)
	return o
}

func (o *origin) listen(t *testing.T) {
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(func() { o.CloseClientConnections(); o.Close() })
}

func (o *origin) addDisk(t *testing.T, n uint64, size int64) {
	t.Helper()
	raw := disktest.RandomRaw(t, size, n)
	disk := read(t, raw)
	copy(disk[510:], []byte{0x55, 0xaa})
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	convert := func(format string, extra ...string) []byte {
		return read(t, disktest.Convert(t, raw, format, "raw", extra...))
	}
	files := map[string][]byte{
		"raw": disk, "raw.gz": zipped(t, disk), "qcow2": convert("qcow2"), "compressed.qcow2": convert("qcow2", "-c"), "vdi": convert("vdi"),
		"vhdx": convert("vhdx"), "vmdk": convert("vmdk"), "stream.vmdk": convert("vmdk", "-o", "subformat=streamOptimized"),
	}
	for _, suffix := range []string{"raw", "raw.gz", "qcow2", "compressed.qcow2", "vdi", "vhdx", "vmdk", "stream.vmdk"} {
		o.add(source{name: fmt.Sprintf("%d.%s", n, suffix), file: files[suffix], disk: disk})
	}
	o.add(source{name: fmt.Sprintf("slow-%d.raw", n), file: disk, disk: disk, rate: 200 << 10})
}

// addLarge adds a disk whose pack is under way for some seconds, in a bucket as an upload of which parts are there.
func (o *origin) addLarge(n uint64) {
	disk := make([]byte, 16<<20)
	rand.NewChaCha8([32]byte{seed & 0xff, byte(n)}).Read(disk)
	copy(disk[510:], []byte{0x55, 0xaa})
	o.add(source{name: fmt.Sprintf("large-%d.raw", n), file: disk, disk: disk, rate: 1 << 20})
}

func (o *origin) add(all ...source) {
	for _, s := range all {
		o.sources = append(o.sources, s)
		o.byName[s.name] = s
	}
}

func (o *origin) url(s source) string { return o.URL + "/" + s.name }

// allow is the host and port for --allow-source.
func (o *origin) allow() string { return strings.TrimPrefix(o.URL, "http://") }

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	s := o.byName[path.Base(r.URL.Path)]
	if s.file == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", `"1"`)
	if s.rate > 0 {
		w = slow{w, s.rate, s.open}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.file))
}

type slow struct {
	http.ResponseWriter
	rate int
	open <-chan struct{}
}

func (s slow) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = s.ResponseWriter.Write(p[n:min(len(p), n+s.rate/10)])
		n += m
		s.ResponseWriter.(http.Flusher).Flush()
		select {
		case <-s.open:
			s.rate = 1 << 30
		case <-time.After(100 * time.Millisecond):
		}
	}
	return n, err
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// same compares a disk with what was read back, which may be longer by empty sectors: some formats round sizes up.
func same(got, want []byte) bool {
	return len(got) >= len(want) && bytes.Equal(got[:len(want)], want) && len(bytes.Trim(got[len(want):], "\x00")) == 0
}
