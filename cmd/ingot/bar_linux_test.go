package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a terminal of 100 columns.
func openTerminal(t *testing.T) (reads, writes *os.File) {
	t.Helper()
	reads, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reads.Close() })
	fd := int(reads.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	writes, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writes.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return reads, writes
}

// What a person sees on a terminal, of a phase without a known end and of one that goes on from where another stopped.
func TestBarOnATerminal(t *testing.T) {
	reads, writes := openTerminal(t)
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		buf := make([]byte, 4096)
		for {
			n, err := reads.Read(buf)
			if err != nil {
				return
			}
			for _, line := range bytes.Split(buf[:n], []byte("\n")) {
				lines <- string(line)
			}
		}
	}()
	b := newBar(terminal{Err: writes})
	await := func(phase string) string {
		t.Helper()
		timeout := time.After(10 * time.Second)
		for {
			select {
			case line := <-lines:
				if strings.Contains(line, phase) {
					return line
				}
			case <-timeout:
				t.Fatalf("no line of %s", phase)
			}
		}
	}
	b.show("import", 3<<20, 0)
	if line := await("import"); !strings.Contains(line, "3.0 MiB") || strings.Contains(line, " of ") || strings.Contains(line, "/s") || strings.Contains(line, "=") {
		t.Errorf("the end is not known: %q", line)
	}
	b.show("fetch", 12<<20, 24<<20)
	if line := await("fetch"); !strings.Contains(line, "12.0 MiB of 24.0 MiB") || strings.Contains(line, "/s") || !strings.Contains(line, "=>-") {
		t.Errorf("half was there: %q", line)
	}
	time.Sleep(200 * time.Millisecond)
	done := make(chan struct{})
	for i := range 4 { // as the ranges of a raw file arrive
		go func() { b.show("fetch", (13+int64(i))<<20, 24<<20); done <- struct{}{} }()
	}
	for range 4 {
		<-done
	}
	b.show("fetch", 18<<20, 24<<20)
	for line := ""; !strings.Contains(line, "18.0 MiB of 24.0 MiB"); {
		if line = await("fetch"); strings.Contains(line, "18.0") && !strings.Contains(line, "/s  ") {
			t.Errorf("%q", line)
		}
	}
	b.close()
}
