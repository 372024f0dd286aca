package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/disk/craft"
	"ingot/internal/disk/disktest"
)

// most is what an import may have resident, whatever the file (the figure), in KiB as the kernel counts.
const most = 256 << 10

// full says whether the long form of tests was asked for: bombs of 100 GB, two hundred kills.
func full() bool { return os.Getenv("INGOT_DAMAGE") == "full" }

// TestBombs imports small files that unfold to much. Each must end at the service's bound, in bounded memory, and
// leave nothing on disk.
func TestBombs(t *testing.T) {
	bound, size := "10GB", int64(10e9)
	if full() {
		bound, size = "100GB", 100e9
	}
	for _, b := range bombs(t, size) {
		t.Run(b.name, func(t *testing.T) {
			o := httptest.NewServer(b.serve)
			t.Cleanup(o.Close)
			s := start(t, t.TempDir(), "--allow-source", strings.TrimPrefix(o.URL, "http://"), "--max-image-size", bound)
			begun := time.Now()
			id := s.create("bomb", o.URL+"/bomb")
			for long := begun.Add(10 * time.Minute); full() && s.image(id).Status != "deleted" && time.Now().Before(long); {
				time.Sleep(time.Second)
			}
			m := s.settled(id)
			took := time.Since(begun)
			if m.Status != "deleted" || !strings.Contains(m.ErrorMessage, b.says) {
				t.Errorf("%s: %s; want %q", m.Status, m.ErrorMessage, b.says)
			}
			peak := peakKiB(t, s.PID())
			if peak > most {
				t.Errorf("%d MiB resident at most; the bound is %d", peak>>10, most>>10)
			}
			s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(s.data, "store")) == 0 })
			if n := bytesUnder(t, filepath.Join(s.data, "scratch")); n != 0 {
				t.Errorf("%d bytes left in scratch", n)
			}
			t.Logf("%d bytes of file: %d MiB resident at most, %v", s.progress(id).BytesRead, peak>>10, took.Round(time.Millisecond))
		})
	}
}

type bomb struct {
	name, says string
	serve      http.HandlerFunc
}

// bombs are files that unfold to the size given and a little more. Those in gzip and bzip2 begin with a boot sector.
func bombs(t *testing.T, size int64) []bomb {
	t.Helper()
	disktest.NeedTool(t, "bzip2")
	const run = 45_000_000 // zeros in one block of bzip2
	boot := craft.Guest(1<<20, 1)
	zeros := make([]byte, run)
	times := int(size/run) + 1
	return []bomb{
		{"gzip of zeros", "must be smaller than", repeated(gzipped(t, boot), gzipped(t, zeros), times)},
		{"bzip2 of zeros", "must be smaller than", repeated(bzipped(t, boot), bzipped(t, zeros), times)},
		{"qcow2 of one cluster for 8 GiB", "which another part of the disk", repeated(unfolding(false), nil, 0)},
		{"qcow2 of one cluster and one table for 8 GiB", "which another part of the disk", repeated(unfolding(true), nil, 0)},
	}
}

func repeated(first, unit []byte, times int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(first)+times*len(unit)))
		w.Write(first)
		for range times {
			if _, err := w.Write(unit); err != nil {
				return
			}
		}
	}
}

func bzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	cmd := exec.Command("bzip2", "-9", "-c")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unfolding is a qcow2 file in which every guest cluster of 8 GiB is one compressed cluster of the file, by one table
// that all entries of the L1 table share or by a table for each.
func unfolding(shared bool) []byte {
	const cluster, tables = 64 << 10, 16
	q := craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 16, Size: 8 << 30})
	q.Packed(0, q.Compress(bytes.Repeat([]byte("amplify "), cluster/8)))
	q.Alloc(0)
	entry := q.Get64(q.Entry(0))
	const l1 = craft.L1At * cluster
	for i := int64(1); i < tables; i++ {
		if shared {
			q.Big64(l1+8*i, q.Get64(l1))
		} else {
			q.Big64(l1+8*i, uint64(q.Alloc(1))|1<<63)
		}
	}
	for i := range int64(tables * cluster / 8) {
		q.Big64(q.Entry(i), entry)
	}
	return q.Bytes
}

// peakKiB is the most memory that a process had resident.
func peakKiB(t *testing.T, pid int) (kib int) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("no peak of memory is known here: %v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(text), "VmHWM:")
	if !ok {
		t.Skip("the kernel does not tell the peak of memory")
	}
	if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
