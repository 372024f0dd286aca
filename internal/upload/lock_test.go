package upload

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
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
	"golang.org/x/sys/unix"
)

// beside is another process's view of the same folder and catalogue: it shares files and kernel locks, nothing else.
func (p *place) beside(t *testing.T) *place {
	t.Helper()
	other := &place{catalog: p.catalog, account: p.account}
	other.restart(t, p.dir)
	other.serve(t)
	return other
}

// sendSlowly sends a piece and returns when it has arrived. The request goes on until send is closed, and its status is
// in the channel then; 0 where it was cut.
func (p *place) sendSlowly(t *testing.T, id string, off int, piece string, headers ...string) (send io.WriteCloser, status <-chan int) {
	t.Helper()
	body, send := io.Pipe()
	code := make(chan int, 1)
	req, err := http.NewRequest("PATCH", p.server.URL+"/v2/uploads/"+id, body)
	if err != nil {
		t.Fatal(err)
	}
	headers = append(headers, "Tus-Resumable", "1.0.0", "Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(off))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			code <- 0
			return
		}
		resp.Body.Close()
		code <- resp.StatusCode
	}()
	if _, err := io.WriteString(send, piece); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the request's bytes arrive", func() bool {
		info, err := os.Stat(p.path(id))
		return err == nil && info.Size() == int64(off+len(piece))
	})
	return send, code
}

// An upload that one process is being sent to is taken over by a request to another: the first is cut off, what it
// has brought is kept, and the second goes on from there.
func TestTwoProcessesTakeTurns(t *testing.T) {
	p := newPlace(t)
	other := p.beside(t)
	id := p.begin(t, 12, "half")
	send, first := p.sendSlowly(t, id, 4, "more")
	if resp := other.ask(t, "HEAD", id, nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Upload-Offset") != "8" {
		t.Fatalf("the other process: %d, offset %s", resp.StatusCode, resp.Header.Get("Upload-Offset"))
	}
	send.Close()
	if code := <-first; code != http.StatusLocked { // which clients try again
		t.Errorf("the first request was answered %d", code)
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
	if names := p.files(t); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
}

// A piece with a checksum that another request ends is no piece with a wrong checksum.
func TestAnInterruptedCheckedPiece(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 12, "half")
	send, first := p.sendSlowly(t, id, 4, "more", "Upload-Checksum", "sha1 "+base64.StdEncoding.EncodeToString(make([]byte, sha1.Size)))
	if resp := p.ask(t, "HEAD", id, nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Upload-Offset") != "4" {
		t.Errorf("%d, offset %s", resp.StatusCode, resp.Header.Get("Upload-Offset"))
	}
	send.Close()
	if code := <-first; code != http.StatusLocked {
		t.Errorf("the piece was answered %d", code)
	}
}

// A process that was killed while it asked for an upload has left its question. It ends nobody's request for ever.
func TestAQuestionThatNobodyWaitsFor(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 8, "half")
	if err := os.WriteFile(p.path(id)+askSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	send, status := p.sendSlowly(t, id, 4, "re")
	time.Sleep(2 * lookAsked)
	if _, err := io.WriteString(send, "st"); err != nil {
		t.Fatal(err)
	}
	send.Close()
	if code := <-status; code != http.StatusNoContent {
		t.Errorf("the request was answered %d", code)
	}
}

// Several ask for one upload; one of them gives up. The others go on asking, and none leaves its question behind.
func TestWhoGivesUpTakesItsQuestionAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "id")
	asked := func() bool {
		_, err := os.Lstat(path + askSuffix)
		return err == nil
	}
	holder, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := unix.Flock(int(holder.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- (&held{path: path}).lockFile(ctx) }()
	for range 2 {
		eventually(t, "it asks", asked)
		if err := os.Remove(path + askSuffix); err != nil { // as another one does that gives up
			t.Fatal(err)
		}
	}
	eventually(t, "it asks again", asked)
	giveUp()
	if err := <-done; !errors.Is(err, handler.ErrFileLocked) || asked() {
		t.Errorf("%v; the question is there: %v", err, asked())
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
