package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ingot/e2e/harness"
)

// gate stands between a client and the service. While it is closed, it lets through the first 10 MiB of a file and nothing
// of what lies behind.
type gate struct {
	*httptest.Server
	open func()
}

// newGate opens a gate to a service; altered, if there is one, changes files on their way.
func newGate(t *testing.T, s *service, altered func(body []byte)) *gate {
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{})
	g := &gate{open: sync.OnceFunc(func() { close(opened) })}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method != http.MethodGet || !strings.HasSuffix(r.Request.URL.Path, "/file") {
			return nil
		}
		left := 0
		if strings.HasPrefix(r.Request.Header.Get("Range"), "bytes=0-") {
			left = 10 << 20
		}
		r.Body = &gatedBody{r.Body, left, opened, r.Request.Context().Done()}
		if altered != nil {
			whole, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			altered(whole)
			r.Body = io.NopCloser(bytes.NewReader(whole))
		}
		return nil
	}
	g.Server = httptest.NewServer(proxy)
	t.Cleanup(func() { g.open(); g.Close() })
	return g
}

type gatedBody struct {
	io.ReadCloser
	left         int
	opened, gone <-chan struct{}
}

func (b *gatedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		select {
		case <-b.opened:
			return b.ReadCloser.Read(p)
		case <-b.gone:
			return 0, io.ErrUnexpectedEOF
		}
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// denseDisk is a disk without a hole.
func denseDisk(size int, seed byte) []byte {
	disk := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(disk)
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

// pull is an ingot image pull through a gate.
func (s *service) pull(g *gate, args ...string) (cmd *exec.Cmd, stdout, stderr *harness.Log) {
	cmd = exec.Command(executable, append([]string{"image", "pull", "-o", "json"}, args...)...)
	cmd.Env = append(os.Environ(), "INGOT_URL="+g.URL, "INGOT_TOKEN="+s.Token)
	stdout, stderr = &harness.Log{}, &harness.Log{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// halfPulled starts a pull and waits until the part has something to keep.
func (s *service) halfPulled(t *testing.T, g *gate, id int64, file string) (cmd *exec.Cmd, stderr *harness.Log) {
	t.Helper()
	cmd, _, stderr = s.pull(g, fmt.Sprint(id), file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	s.Eventually("a part of "+file, func() bool {
		b, err := os.ReadFile(file + ".part")
		return err == nil && len(b) > 5<<20 && bytes.Count(b[4<<20:5<<20], []byte{0}) < 1<<19
	})
	return cmd, stderr
}

func TestAPullThatIsInterruptedGoesOn(t *testing.T) {
	disk := denseDisk(24<<20, 31)
	o := newOrigin(t, map[string][]byte{"disk.raw": disk})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	id := s.create("disk", o.URL+"/disk.raw")
	if m := s.settled(id); m.Status != "available" {
		t.Fatalf("%+v", m)
	}
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			g := newGate(t, s, nil)
			file := filepath.Join(t.TempDir(), "disk."+format)
			cmd, stderr := s.halfPulled(t, g, id, file)
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "the same command goes on from there") {
				t.Errorf("%v: %s", err, stderr)
			}
			g.open()
			again, stdout, stderr := s.pull(g, fmt.Sprint(id), file)
			if err := again.Run(); err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			var report struct{ Fetched int }
			if err := json.Unmarshal([]byte(stdout.String()), &report); err != nil || report.Fetched == 0 || report.Fetched > 20<<20 {
				t.Errorf("%v: %s", err, stdout)
			}
			got, err := os.ReadFile(file)
			if want := s.fetched(fmt.Sprintf("/v2/images/%d/file?format=%s", id, format), 0, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file differs: %d bytes, %v", len(got), err)
			}
			if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Two pulls to one file would write into each other's bytes after they were checked.
func TestTheSecondPullToAFileIsRefused(t *testing.T) {
	disk, other := denseDisk(24<<20, 32), denseDisk(24<<20, 33)
	o := newOrigin(t, map[string][]byte{"disk.raw": disk, "other.raw": other})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	first, second := s.create("disk", o.URL+"/disk.raw"), s.create("other", o.URL+"/other.raw")
	if s.settled(first).Status != "available" || s.settled(second).Status != "available" {
		t.Fatal(s.Log)
	}
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			g := newGate(t, s, nil)
			file := filepath.Join(t.TempDir(), "disk."+format)
			cmd, stderr := s.halfPulled(t, g, first, file)
			if said := startFailing(t, "image", "pull", fmt.Sprint(second), file, "--service", s.URL, "--token", s.Token); !strings.Contains(said, "another pull") {
				t.Error(said)
			}
			g.open()
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, stderr)
			}
			got, err := os.ReadFile(file)
			if want := s.fetched(fmt.Sprintf("/v2/images/%d/file?format=%s", first, format), 0, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file differs: %d bytes, %v", len(got), err)
			}
		})
	}
}

// What an earlier pull of another image has left is no beginning of this one's file.
func TestAnotherImagesPartIsNotUsed(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"disk.raw": denseDisk(24<<20, 37), "other.raw": denseDisk(24<<20, 38)})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	first, second := s.create("disk", o.URL+"/disk.raw"), s.create("other", o.URL+"/other.raw")
	if s.settled(first).Status != "available" || s.settled(second).Status != "available" {
		t.Fatal(s.Log)
	}
	g := newGate(t, s, nil)
	file := filepath.Join(t.TempDir(), "disk.qcow2")
	cmd, _ := s.halfPulled(t, g, first, file)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	g.open()
	again, _, stderr := s.pull(g, fmt.Sprint(second), file)
	if err := again.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	got, err := os.ReadFile(file)
	if want := s.fetched(fmt.Sprintf("/v2/images/%d/file?format=qcow2", second), 0, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
}

// A qcow2 file is right when a guest reads the image from it and nothing else: not in the end of a cluster, not in a hole.
func TestAWrongQCOW2FileIsFound(t *testing.T) {
	disk := denseDisk(8<<20, 34)
	clear(disk[3<<20+100<<10 : 5<<20+20<<10]) // the data around it ends, and begins, in the middle of a cluster
	o := newOrigin(t, map[string][]byte{"disk.raw": disk})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	id := s.create("disk", o.URL+"/disk.raw")
	if m := s.settled(id); m.Status != "available" {
		t.Fatalf("%+v", m)
	}
	l2 := func(file []byte) []byte { // the table of the first 512 MiB
		l1 := binary.BigEndian.Uint64(file[40:])
		return file[binary.BigEndian.Uint64(file[l1:])&^(1<<63):]
	}
	host := func(file []byte, cluster int) uint64 {
		return binary.BigEndian.Uint64(l2(file)[8*cluster:]) &^ (1 << 63)
	}
	for name, test := range map[string]struct {
		alter func(file []byte)
		said  string
	}{
		"data":               {func(f []byte) { f[host(f, 10)]++ }, "image's bytes at"},
		"end of a cluster":   {func(f []byte) { f[host(f, 49)+40<<10]++ }, "does not have"},
		"start of a cluster": {func(f []byte) { f[host(f, 80)+4096]++ }, "does not have"},
		"a hole":             {func(f []byte) { copy(l2(f)[8*60:], binary.BigEndian.AppendUint64(nil, host(f, 20)|1<<63)) }, "which another part of the disk is mapped to"},
		"the disk's size":    {func(f []byte) { binary.BigEndian.PutUint64(f[24:], 8<<20+512) }, "of a disk of"},
		"a cluster unnamed":  {func(f []byte) { clear(l2(f)[8*20:][:8]) }, "image's bytes at"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, s, test.alter)
			g.open()
			file := filepath.Join(t.TempDir(), "disk.qcow2")
			cmd, stdout, stderr := s.pull(g, fmt.Sprint(id), file)
			err := cmd.Run()
			if err == nil || !strings.Contains(stderr.String(), test.said) || strings.Contains(stderr.String(), "goes on from there") {
				t.Errorf("%v: %s%s", err, stdout, stderr)
			}
			if left, _ := filepath.Glob(file + "*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Content that has moved is not fetched again: an image that was built anew has it elsewhere.
func TestPullFindsWhatHasMoved(t *testing.T) {
	old := denseDisk(24<<20, 35)
	moved := bytes.Clone(old[:1<<20])
	moved = append(moved, denseDisk(5*4096, 36)...) // and everything behind it five pages later
	moved = append(moved, old[1<<20:]...)
	copy(moved[20<<20:], moved[2<<20:3<<20]) // a piece that is there twice
	o := newOrigin(t, map[string][]byte{"moved.raw": moved})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	id := s.create("moved", o.URL+"/moved.raw")
	if m := s.settled(id); m.Status != "available" {
		t.Fatalf("%+v", m)
	}
	dir := t.TempDir()
	base, file := filepath.Join(dir, "old.raw"), filepath.Join(dir, "new.raw")
	if err := os.WriteFile(base, old, 0o644); err != nil {
		t.Fatal(err)
	}
	g := newGate(t, s, nil)
	g.open()
	cmd, stdout, stderr := s.pull(g, fmt.Sprint(id), file, "--base", base)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	var report struct{ Fetched int }
	if err := json.Unmarshal([]byte(stdout.String()), &report); err != nil || report.Fetched < 5*4096 || report.Fetched > 1<<20 {
		t.Errorf("%v: %s", err, stdout)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, moved) {
		t.Errorf("the file differs: %d bytes, %v", len(got), err)
	}
}
