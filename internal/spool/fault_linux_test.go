package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/refusal"
)

// smallDisk mounts a disk of 1 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1M"); err != nil {
		t.Skipf("a small tmpfs cannot be mounted (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("the spool still holds its disk: %v", err)
		}
	})
	return dir
}

func TestNoSpace(t *testing.T) {
	body := bytes.Repeat([]byte("not zero"), 8<<20/8)
	for name, stream := range map[string]io.Reader{"Reader": only{bytes.NewReader(body)}, "WriterTo": bytes.NewReader(body)} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t)
			s, err := New(dir, stream, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Wait(t.Context())
			r := refusal.As(err)
			if r == nil || r.Code != "no_space" || !r.Temporary {
				t.Fatalf("a full disk: %v", err)
			}
			if strings.Contains(r.Message, dir) {
				t.Errorf("the message names our folder: %s", r.Message)
			}
			if _, err := s.ReadAt(make([]byte, 1), int64(len(body))-1); refusal.As(err) != r {
				t.Errorf("a reader gets %v", err)
			}
			have := s.Arrived()
			got := make([]byte, have)
			if _, err := s.ReadAt(got, 0); err != nil || !bytes.Equal(got, body[:have]) || have == 0 {
				t.Errorf("what had arrived, %d bytes: %v", have, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			var disk syscall.Statfs_t
			if err := syscall.Statfs(dir, &disk); err != nil || disk.Bfree != disk.Blocks {
				t.Errorf("%d of %d blocks are free after Close, %v", disk.Bfree, disk.Blocks, err)
			}
		})
	}
}

// A stream larger than the disk goes through when its readers release what they have read.
func TestStreamLargerThanDisk(t *testing.T) {
	body := bytes.Repeat([]byte("not zero"), 8<<20/8)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3M"); err != nil {
		t.Skipf("a small tmpfs cannot be mounted (needs root): %v", err)
	}
	defer unix.Unmount(dir, 0)
	s, err := New(dir, only{bytes.NewReader(body)}, Options{MaxAhead: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	buf := make([]byte, 10_000)
	for off := int64(0); off < int64(len(body)); off += int64(len(buf)) {
		n, err := s.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.Equal(buf[:n], body[off:off+int64(n)]) {
			t.Fatalf("the bytes at %d differ", off)
		}
		s.Release(off, int64(n))
	}
}

// What nobody will read needs no disk, and a disk that is full already does not matter to it.
func TestDiscard(t *testing.T) {
	body := bytes.Repeat([]byte("not zero"), 16<<20/8)
	r, w := io.Pipe()
	s, err := New(smallDisk(t), r, Options{Interrupt: func() { r.Close() }})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(body[:extent])
	s.ReadAt(make([]byte, 1), extent-1)
	s.Discard()
	if _, err := s.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a discarded byte was read")
	}
	broken := errors.New("the sum is wrong")
	go func() {
		w.Write(body[extent:])
		w.CloseWithError(broken)
	}()
	if _, err := s.Wait(t.Context()); !errors.Is(err, broken) {
		t.Errorf("the stream's end: %v", err)
	}
	if held := inFile(t, s); held > 0 {
		t.Errorf("the file holds %d bytes", held)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A process that is killed while its spool grows leaves nothing in the folder.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("SPOOL_TEST_DIR"); dir != "" {
		s, err := New(dir, &ones{}, Options{MaxAhead: 1})
		if err != nil {
			t.Fatal(err)
		}
		s.ReadAt(make([]byte, 1), 4<<20)
		fmt.Println("growing")
		select {}
	}
	dir := t.TempDir()
	self := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	self.Env = append(os.Environ(), "SPOOL_TEST_DIR="+dir)
	out, err := self.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 7)
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "growing" {
		t.Errorf("the child said %q, %v", line, err)
	}
	self.Process.Kill()
	self.Wait()
	if left, err := filepath.Glob(dir + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
