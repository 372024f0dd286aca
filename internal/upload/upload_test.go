package upload

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"testing"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/refusal"
)

// place is a folder of uploads with a catalogue and one account, and a server that takes every request for its.
type place struct {
	*Uploads
	catalog *catalog.Catalog
	account int64
	server  *httptest.Server
}

func newPlace(t *testing.T) *place {
	t.Helper()
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := c.CreateAccount(t.Context(), image.Account{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{catalog: c, account: a.ID}
	p.restart(t, t.TempDir())
	p.serve(t)
	return p
}

func (p *place) serve(t *testing.T) {
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.ServeUpload(w, r, p.account) }))
	t.Cleanup(p.server.Close)
}

// restart is what a process that comes after a crash finds: the files, and no locks.
func (p *place) restart(t *testing.T, dir string) {
	t.Helper()
	var err error
	if p.Uploads, err = New(dir, 1<<20, p.catalog); err != nil {
		t.Fatal(err)
	}
}

func (p *place) ask(t *testing.T, method, id string, body []byte, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, p.server.URL+"/v2/uploads/"+id, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// begin begins an upload with the first piece of it.
func (p *place) begin(t *testing.T, size int, piece string) string {
	t.Helper()
	resp := p.ask(t, "POST", "", []byte(piece), "Upload-Length", strconv.Itoa(size))
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return path.Base(resp.Header.Get("Location"))
}

func (p *place) files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestACrashWithinACheckedPieceDropsIt(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 20, "good")
	if err := p.noteUnchecked(id, 4); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(p.path(id), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("bad"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	p.restart(t, p.dir)
	if resp := p.ask(t, "HEAD", id, nil); resp.Header.Get("Upload-Offset") != "4" {
		t.Errorf("it goes on at %s", resp.Header.Get("Upload-Offset"))
	}
	sum := sha256.Sum256([]byte("0123456789abcdef"))
	resp := p.ask(t, "PATCH", id, []byte("0123456789abcdef"), "Upload-Offset", "4",
		"Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(sum[:]))
	if resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.StatusCode)
	}
	r, size, err := p.Open(t.Context(), p.account, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "good0123456789abcdef" || size != 20 || err != nil {
		t.Errorf("%q, %d, %v", b, size, err)
	}
}

// A crash between the last byte and the row: whoever asks next completes it.
func TestACompleteFileCompletesItsRow(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 8, "half")
	if err := os.WriteFile(p.path(id), []byte("all of i"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.restart(t, p.dir)
	if resp := p.ask(t, "HEAD", id, nil); resp.Header.Get("Upload-Offset") != "8" {
		t.Errorf("it ends at %s", resp.Header.Get("Upload-Offset"))
	}
	if u, err := p.catalog.Upload(t.Context(), p.account, id); err != nil || !u.Complete {
		t.Errorf("%+v %v", u, err)
	}
}

// The folder is moved while the service stands still, as when it gets a disk of its own.
func TestAFolderThatMovesTakesItsUploadsAlong(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 8, "half")
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(p.dir, moved); err != nil {
		t.Fatal(err)
	}
	p.restart(t, moved)
	if resp := p.ask(t, "HEAD", id, nil); resp.StatusCode != http.StatusOK || resp.Header.Get("Upload-Offset") != "4" {
		t.Fatalf("%d, offset %s", resp.StatusCode, resp.Header.Get("Upload-Offset"))
	}
	if resp := p.ask(t, "PATCH", id, []byte("rest"), "Upload-Offset", "4"); resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp.StatusCode)
	}
	r, _, err := p.Open(t.Context(), p.account, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "halfrest" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSweep(t *testing.T) {
	p := newPlace(t)
	ended, kept := p.begin(t, 8, "half"), p.begin(t, 8, "half")
	if err := p.noteUnchecked(ended, 4); err != nil {
		t.Fatal(err)
	}
	if err := p.catalog.EndUpload(t.Context(), p.account, ended); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path(ended)+".info", nil, 0o600); err != nil { // as an older Ingot made them
		t.Fatal(err)
	}
	if n := len(p.files(t)); n != 4 {
		t.Fatalf("%d files before the sweep", n)
	}
	for range 2 {
		if err := p.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if names := p.files(t); len(names) != 1 || names[0] != kept {
		t.Errorf("left: %v", names)
	}
	if dead, err := p.catalog.DeadUploads(t.Context()); len(dead) != 0 || err != nil {
		t.Errorf("%v %v", dead, err)
	}
	_, _, err := p.Open(t.Context(), p.account, ended)
	if r := refusal.As(err); r == nil || r.Code != "upload_gone" {
		t.Errorf("open what is gone: %v", err)
	}
}

func TestAFileThatShrinksWhileItIsRead(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 8, "all of i")
	r, _, err := p.Open(t.Context(), p.account, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(p.path(id), 5); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	if e := refusal.As(err); e == nil || e.Code != "upload_damaged" {
		t.Errorf("read: %v", err)
	}
	_, _, err = p.Open(t.Context(), p.account, id)
	if e := refusal.As(err); e == nil || e.Code != "upload_damaged" {
		t.Errorf("open: %v", err)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Error("it is there")
	}
}

// A client cannot reach another file by an id, nor another method by a header.
func TestWhatIsNoUpload(t *testing.T) {
	p := newPlace(t)
	id := p.begin(t, 8, "half")
	for _, name := range []string{id + ".info", "..", "%2e%2e%2fcatalog.db", "nothing"} {
		if resp := p.ask(t, "HEAD", name, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	p.ask(t, "POST", id, nil, "X-HTTP-Method-Override", "DELETE", "Upload-Length", "1")
	if resp := p.ask(t, "HEAD", id, nil); resp.StatusCode != http.StatusOK {
		t.Errorf("it was deleted by a header: %d", resp.StatusCode)
	}
}
