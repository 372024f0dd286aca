package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
)

// beside is another process's view of the same folder and catalogue: it shares files and kernel locks, nothing else.
func (p *place) beside(t *testing.T) *place {
	t.Helper()
	other := &place{catalog: p.catalog, account: p.account}
	other.restart(t, p.dir)
	other.serve(t)
	return other
}

// An upload that one process is being sent to is taken over by a request to another: the first is cut off, what it
// has brought is kept, and the second goes on from there.
func TestTwoProcessesTakeTurns(t *testing.T) {
	p := newPlace(t)
	other := p.beside(t)
	id := p.begin(t, 12, "half")
	body, send := io.Pipe()
	first := make(chan int, 1)
	go func() {
		req, err := http.NewRequest("PATCH", p.server.URL+"/v2/uploads/"+id, body)
		if err != nil {
			t.Error(err)
		}
		for name, value := range map[string]string{"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "4"} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			first <- 0
			return
		}
		resp.Body.Close()
		first <- resp.StatusCode
	}()
	if _, err := send.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first request's bytes arrive", func() bool {
		info, err := os.Stat(p.path(id))
		return err == nil && info.Size() == 8
	})
	if resp := other.ask(t, "HEAD", id, nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Upload-Offset") != "8" {
		t.Fatalf("the other process: %d, offset %s", resp.StatusCode, resp.Header.Get("Upload-Offset"))
	}
	send.Close()
	if code := <-first; code == http.StatusNoContent {
		t.Error("the first request was not cut off, and the second did not wait for it")
	}
	if resp := other.ask(t, "PATCH", id, []byte("last"), "Upload-Offset", "8"); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.StatusCode)
	}
	r, _, err := p.Open(t.Context(), p.account, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "halfmorelast" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if names := p.files(t); len(names) != 2 {
		t.Errorf("left: %v", names)
	}
}

// Clients of two processes all send one file, each from where it finds the upload's end, and cut each other off. What
// there is in the end is the file.
func TestTwoProcessesSendOneFile(t *testing.T) {
	p := newPlace(t)
	other := p.beside(t)
	file := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	id := p.begin(t, len(file), "")
	done := make(chan error)
	for i := range 4 {
		at := []*place{p, other}[i%2]
		go func() {
			for range 10_000 {
				resp := at.ask(t, "HEAD", id, nil)
				if resp.StatusCode == http.StatusLocked {
					continue // others were faster, for long
				}
				off, err := strconv.Atoi(resp.Header.Get("Upload-Offset"))
				if err != nil || off == len(file) {
					done <- err
					return
				}
				at.ask(t, "PATCH", id, file[off:min(len(file), off+4000)], "Upload-Offset", strconv.Itoa(off))
			}
			done <- errors.New("no end")
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(p.path(id)); !bytes.Equal(b, file) || err != nil {
		t.Errorf("%d bytes, which differ from the file's: %v", len(b), err)
	}
	if u, err := p.catalog.Upload(t.Context(), p.account, id); !u.Complete || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
}

// Whoever waits in vain for an upload that another request holds is told so, in this process as among several.
func TestLockedUpload(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 12, "half")
	here := locker{memorylocker.New(), p.dir}
	for name, other := range map[string]locker{"one process": here, "two processes": {memorylocker.New(), p.dir}} {
		first, err := here.NewLock(id)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.WithValue(t.Context(), jobKey{}, &job{reads: make(chan struct{})})
		if err := first.Lock(ctx, func() {}); err != nil {
			t.Fatal(err)
		}
		second, err := other.NewLock(id)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := second.Lock(ctx, func() {}); !errors.Is(err, handler.ErrFileLocked) {
			t.Errorf("%s: %v", name, err)
		}
		if err := first.Unlock(); err != nil {
			t.Error(err)
		}
	}
}

func TestFolderID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	ids := make(chan string)
	for range 8 {
		go func() {
			id, err := FolderID(dir)
			if err != nil {
				t.Error(err)
			}
			ids <- id
		}()
	}
	first := <-ids
	for range 7 {
		if id := <-ids; id != first || id == "" {
			t.Errorf("two names of one folder: %q, %q", first, id)
		}
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if id, err := FolderID(moved); id != first || err != nil {
		t.Errorf("moved: %q, %v", id, err)
	}
	if id, err := FolderID(t.TempDir()); id == first || err != nil {
		t.Errorf("another folder: %q, %v", id, err)
	}
	if left, err := filepath.Glob(filepath.Join(moved, ".folder-*")); len(left) != 0 || err != nil {
		t.Errorf("left: %q, %v", left, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
