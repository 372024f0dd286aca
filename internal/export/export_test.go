package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/export"
)

func file(t *testing.T, d export.Disk, format string) *export.File {
	t.Helper()
	f, err := export.New().File(d, "digest", format)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func whole(t *testing.T, f *export.File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.WriteRange(t.Context(), &b, 0, f.Size()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// disks are guests of all the shapes that matter to windows, clusters and tables.
func disks() map[string]*memory {
	all := map[string]*memory{
		"hole":        scattered(5<<20, 1, 1, 1),
		"one sector":  scattered(512, 1, 512, 2),
		"scattered":   scattered(40<<20, 60, 300<<10, 3),
		"tiny pieces": scattered(8<<20, 2000, 700, 4),
		"long runs":   scattered(24<<20, 3, 9<<20, 5),
		"odd size":    scattered(3<<20+777, 9, 200<<10, 6),
		"full":        {bytes: bytes.Repeat([]byte("full"), 1<<20), data: [][2]int64{{0, 1 << 20}, {1 << 20, 4 << 20}}, bad: -1},
		"end of disk": {bytes: append(make([]byte, 3<<20), "the end"...), data: [][2]int64{{3 << 20, 3<<20 + 7}}, bad: -1},
	}
	all["hole"].data, all["hole"].bytes = nil, make([]byte, 5<<20)
	return all
}

func TestRawIsTheDisk(t *testing.T) {
	for name, d := range disks() {
		t.Run(name, func(t *testing.T) {
			if !bytes.Equal(whole(t, file(t, d, export.Raw)), d.bytes) {
				t.Error("the raw file is not the disk")
			}
		})
	}
}

// qemu-img is the oracle: no error, no leak, the same guest, and nothing allocated that has no data.
func TestQCOW2(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	for name, d := range disks() {
		t.Run(name, func(t *testing.T) {
			content := whole(t, file(t, d, export.QCOW2))
			path := save(t, "out.qcow2", content)
			disktest.Run(t, "qemu-img", "check", "-q", "-f", "qcow2", path)
			guest := disktest.Raw(t, path, "qcow2")
			want := append(bytes.Clone(d.bytes), make([]byte, len(guest)-len(d.bytes))...)
			if len(guest)-len(d.bytes) > 511 || !bytes.Equal(guest, want) {
				t.Errorf("the guest of %d bytes is not the disk of %d", len(guest), len(d.bytes))
			}
			if most := (4+len(d.data)/8192+1)<<16 + allocated(d); len(content) > most {
				t.Errorf("the file has %d bytes, want at most %d", len(content), most)
			}
		})
	}
}

func allocated(d *memory) int {
	clusters := map[int64]bool{}
	for _, r := range d.data {
		for c := r[0] >> 16; c <= (r[1]-1)>>16; c++ {
			clusters[c] = true
		}
	}
	return len(clusters) << 16
}

func save(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sparse is a guest too large to be held: data of one byte value at a few places, or everywhere.
type sparse struct {
	memory
	size int64
}

func (s *sparse) Size() int64 { return s.size }

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at := 0; at < len(p); {
		start, end, err := s.NextData(off + int64(at))
		if err != nil || start >= off+int64(len(p)) {
			break
		}
		at = int(min(end-off, int64(len(p))))
		for i := start - off; i < int64(at); i++ {
			p[i] = byte(1 + (off+i)>>16%255)
		}
	}
	return len(p), nil
}

// The largest disk that is allowed, with data at both ends and across a border of L2 tables.
func TestQCOW2OfTheLargestDisk(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	const size = 100_000_000_000 - 512
	d := &sparse{size: size}
	d.data = [][2]int64{{0, 1 << 20}, {512<<20 - 70000, 512<<20 + 70000}, {50 << 30, 50<<30 + 1}, {size - 5, size}}
	path := save(t, "large.qcow2", whole(t, file(t, d, export.QCOW2)))
	disktest.Run(t, "qemu-img", "check", "-q", "-f", "qcow2", path)
	disktest.NeedTool(t, "qemu-io")
	for _, r := range d.data {
		b := make([]byte, 1)
		if _, err := d.ReadAt(b, r[1]-1); err != nil {
			t.Fatal(err)
		}
		sector := (r[1] - 1) &^ 511
		skip := r[1] - 1 - sector
		disktest.Run(t, "qemu-io", "-r", "-f", "qcow2", "-c", fmt.Sprintf("read -s %d -l 1 -P %d %d 512", skip, b[0], sector), path)
	}
}

// With data everywhere the reference counts need more than one block; reading the tables must agree with that.
func TestQCOW2NeedsSeveralReferenceBlocks(t *testing.T) {
	d := &sparse{size: 9 << 30}
	d.data = [][2]int64{{0, 9 << 30}}
	f := file(t, d, export.QCOW2)
	clusters := f.Size() >> 16
	if guest := int64(9 << 30 >> 16); clusters != 1+1+1+5+18+guest {
		t.Errorf("%d clusters for %d of the guest", clusters, guest)
	}
	b := make([]byte, 5<<16)
	if _, err := f.ReadAt(b, 3<<16); err != nil {
		t.Fatal(err)
	}
	for i := int64(0); i < int64(len(b)/2); i++ {
		want := byte(0)
		if i < clusters {
			want = 1
		}
		if b[2*i] != 0 || b[2*i+1] != want {
			t.Fatalf("the reference count of cluster %d of %d is %x", i, clusters, b[2*i:2*i+2])
		}
	}
}

// Any range of any file is the same bytes as in the whole.
func TestRanges(t *testing.T) {
	for name, d := range disks() {
		for _, format := range []string{export.Raw, export.QCOW2} {
			t.Run(name+" "+format, func(t *testing.T) {
				f := file(t, d, format)
				all := whole(t, f)
				rng := rand.New(rand.NewPCG(8, 9))
				for range 200 {
					off := rng.Int64N(f.Size() + 1)
					n := min(rng.Int64N(1<<(1+rng.IntN(22))), f.Size()-off)
					var b bytes.Buffer
					if err := f.WriteRange(t.Context(), &b, off, n); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(b.Bytes(), all[off:off+n]) {
						t.Fatalf("%d bytes at %d differ", n, off)
					}
					p := make([]byte, n)
					if got, err := f.ReadAt(p, off); int64(got) != n || !bytes.Equal(p, b.Bytes()) {
						t.Fatalf("ReadAt(%d bytes at %d) = %d, %v", n, off, got, err)
					}
				}
			})
		}
	}
}

func TestRangeOutsideTheFile(t *testing.T) {
	f := file(t, scattered(1<<20, 3, 1000, 1), export.Raw)
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, 1<<20 + 1}, {1 << 20, 1}, {1<<63 - 1, 1}} {
		if err := f.WriteRange(t.Context(), &bytes.Buffer{}, r[0], r[1]); err == nil {
			t.Errorf("%d bytes at %d were written", r[1], r[0])
		}
	}
}

func TestHolesAreNotRead(t *testing.T) {
	d := scattered(64<<20, 1, 1, 1)
	d.data = [][2]int64{{30 << 20, 30<<20 + 10}}
	if !bytes.Equal(whole(t, file(t, d, export.Raw)), d.bytes) {
		t.Error("the raw file is not the disk")
	}
	if n := d.read.Load(); n > 1<<20 {
		t.Errorf("%d bytes were read for 10 of data", n)
	}
}

// What arrives before an error is right, and nothing of the bad place arrives.
func TestReadError(t *testing.T) {
	d := scattered(16<<20, 40, 400<<10, 12)
	d.bad = d.data[len(d.data)/2][0]
	var b bytes.Buffer
	err := file(t, d, export.Raw).WriteRange(t.Context(), &b, 0, d.Size())
	if !errors.Is(err, errBad) {
		t.Errorf("error %v, want the disk's", err)
	}
	if int64(b.Len()) > d.bad || !bytes.Equal(b.Bytes(), d.bytes[:b.Len()]) {
		t.Errorf("%d bytes arrived before the bad place at %d, or wrong ones", b.Len(), d.bad)
	}
}

type failingWriter struct{ left int }

var errWriter = errors.New("the client is gone")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errWriter
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	d := scattered(16<<20, 3, 8<<20, 12)
	for _, left := range []int{0, 3 << 20, 12 << 20} {
		if err := file(t, d, export.Raw).WriteRange(t.Context(), &failingWriter{left}, 0, d.Size()); !errors.Is(err, errWriter) {
			t.Errorf("error %v, want the writer's", err)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := scattered(16<<20, 3, 8<<20, 12)
	if err := file(t, d, export.Raw).WriteRange(ctx, &bytes.Buffer{}, 0, d.Size()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := export.New().File(scattered(512, 1, 1, 1), "digest", "vmdk"); err == nil {
		t.Error("a file of an unknown format was made")
	}
}

// A layout is looked up by digest: the map is walked once, and the oldest of many is forgotten.
func TestLayoutsAreKept(t *testing.T) {
	e, d := export.New(), &counting{memory: scattered(8<<20, 50, 10<<10, 1)}
	for _, digest := range []string{"a", "a", "b", "a"} {
		if _, err := e.File(d, digest, export.QCOW2); err != nil {
			t.Fatal(err)
		}
	}
	if d.walks != 2 {
		t.Errorf("the map was walked %d times for two contents", d.walks)
	}
	for i := range 100 {
		if _, err := e.File(d, fmt.Sprint(i), export.QCOW2); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.File(d, "a", export.QCOW2); err != nil || d.walks != 103 {
		t.Errorf("%d walks, %v; want 103", d.walks, err)
	}
}

type counting struct {
	*memory
	walks int
}

func (c *counting) NextData(off int64) (int64, int64, error) {
	if off == 0 {
		c.walks++
	}
	return c.memory.NextData(off)
}
