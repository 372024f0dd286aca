package e2e

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ingot/e2e/harness"
	"ingot/internal/disk/disktest"
)

// tus makes one request of the tus protocol. Headers are name, value, name, value.
func (s *service) tus(method, address string, body io.Reader, headers ...string) (*http.Response, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	req.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err.Error() // the body was cut
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(answer)
}

// beginUpload announces a file and returns the upload's address.
func (s *service) beginUpload(size int) string {
	s.t.Helper()
	resp, text := s.tus("POST", s.URL+"/v2/uploads", nil, "Upload-Length", strconv.Itoa(size))
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Upload-Expires") == "" {
		s.t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, text)
	}
	return resp.Header.Get("Location")
}

// send sends a piece, and returns the status and the error's message.
func (s *service) send(address string, off int, piece io.Reader, headers ...string) (int, string) {
	s.t.Helper()
	headers = append(headers, "Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(off))
	resp, text := s.tus("PATCH", address, piece, headers...)
	if resp == nil {
		return 0, text
	}
	var e struct{ Message string }
	_ = json.Unmarshal([]byte(text), &e) // what went well has no body
	return resp.StatusCode, e.Message
}

// offset asks where an upload ends; -1 where there is none.
func (s *service) offset(address string) int {
	s.t.Helper()
	resp, _ := s.tus("HEAD", address, nil)
	if resp.StatusCode != http.StatusOK {
		return -1
	}
	n, err := strconv.Atoi(resp.Header.Get("Upload-Offset"))
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// imported imports an upload and compares the image with what was sent.
func (s *service) imported(address string, disk []byte) {
	s.t.Helper()
	sum := sha256.Sum256(disk)
	id := s.create("uploaded", fmt.Sprintf("upload:%s#sha256=%x", path.Base(address), sum))
	if m := s.settled(id); m.Status != "available" {
		s.t.Fatalf("%+v\n%s", m, s.Log)
	}
	if !bytes.Equal(s.content(id), disk) {
		s.t.Error("the image differs from what was uploaded")
	}
	if p := s.progress(id); p.SourceSHA256 != fmt.Sprintf("%x", sum) {
		s.t.Errorf("the report: %+v", p)
	}
	if s.offset(address) != -1 {
		s.t.Error("the upload is still there after its import")
	}
}

func (s *service) createStatus(url string) (int, string) {
	s.t.Helper()
	var answer struct{ Message string }
	code := s.call("POST", "/v2/images", map[string]any{"name": "x", "url": url, "region": "nyc3"}, &answer)
	return code, answer.Message
}

// cutReader ends with an error, which cuts the connection.
type cutReader struct{ io.Reader }

func (c cutReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = fmt.Errorf("cut")
	}
	return n, err
}

func TestAnUploadIsCutResumedAndImported(t *testing.T) {
	disk := rawDisk(12<<20, 21)
	data := t.TempDir()
	s := start(t, data)
	address := s.beginUpload(len(disk))
	if code, message := s.createStatus("upload:" + path.Base(address)); code != http.StatusUnprocessableEntity || !strings.Contains(message, "not complete") {
		t.Errorf("an import before the end: %d %s", code, message)
	}
	if code, message := s.send(address, 0, bytes.NewReader(disk[:1<<20])); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, message)
	}
	s.send(address, 1<<20, cutReader{bytes.NewReader(disk[1<<20 : 5<<20])})
	var at int
	s.Eventually("what arrived before the cut is kept", func() bool { at = s.offset(address); return at > 1<<20 })
	if code, _ := s.send(address, 0, bytes.NewReader(disk)); code != http.StatusConflict {
		t.Errorf("a piece at a wrong offset: %d", code)
	}
	s.Kill()

	s = start(t, data)
	address = s.URL + "/v2/uploads/" + path.Base(address)
	if at = s.offset(address); at <= 1<<20 || at > 5<<20 {
		t.Fatalf("after kill -9 the upload ends at %d", at)
	}
	if code, message := s.send(address, at, bytes.NewReader(disk[at:])); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, message)
	}
	s.imported(address, disk)
	if code, message := s.createStatus("upload:" + path.Base(address)); code != http.StatusUnprocessableEntity || !strings.Contains(message, "imported") {
		t.Errorf("a second import: %d %s", code, message)
	}
}

func TestUploadChecksums(t *testing.T) {
	disk := rawDisk(4<<20, 22)
	s := start(t, t.TempDir())
	address := s.beginUpload(len(disk))
	sum := func(b []byte) string {
		d := sha1.Sum(b)
		return "sha1 " + base64.StdEncoding.EncodeToString(d[:])
	}
	if code, message := s.send(address, 0, bytes.NewReader(disk[:1<<20]), "Upload-Checksum", sum(disk)); code != 460 || !strings.Contains(message, "sha1") {
		t.Errorf("a wrong checksum: %d %s", code, message)
	}
	if code, message := s.send(address, 0, bytes.NewReader(disk), "Upload-Checksum", "crc32 AAAA"); code != http.StatusBadRequest {
		t.Errorf("an unknown one: %d %s", code, message)
	}
	s.send(address, 0, cutReader{bytes.NewReader(disk[:2<<20])}, "Upload-Checksum", sum(disk[:3<<20]))
	if at := s.offset(address); at != 0 {
		t.Errorf("after three bad pieces the upload ends at %d", at)
	}
	if code, message := s.send(address, 0, bytes.NewReader(disk[:3<<20]), "Upload-Checksum", sum(disk[:3<<20])); code != http.StatusNoContent {
		t.Errorf("a right one: %d %s", code, message)
	}
	if code, message := s.send(address, 3<<20, bytes.NewReader(disk[3<<20:]), "Upload-Checksum", sum(disk[3<<20:])); code != http.StatusNoContent {
		t.Errorf("a right one: %d %s", code, message)
	}
	s.imported(address, disk)
}

func TestUploadsBelongToTheirAccount(t *testing.T) {
	disk := rawDisk(2<<20, 23)
	s := start(t, t.TempDir(), "--max-image-size", "64MiB")
	ingot(t, "account", "create", "--data", s.data, "--max-bytes", strconv.Itoa(3<<20), "team")
	other := *s
	theirs := *s.Service
	theirs.Token = strings.TrimSpace(ingot(t, "token", "create", "--data", s.data, "--account", "team"))
	other.Service = &theirs

	address := other.beginUpload(len(disk))
	if at := s.offset(address); at != -1 {
		t.Errorf("another account sees the upload, at %d", at)
	}
	if code, _ := s.send(address, 0, bytes.NewReader(disk)); code != http.StatusNotFound {
		t.Errorf("another account sends to it: %d", code)
	}
	if resp, _ := s.tus("DELETE", address, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("another account deletes it: %d", resp.StatusCode)
	}
	for name, c := range map[string]struct {
		s       *service
		headers []string
		want    int
		says    string
	}{
		"beyond the quota":   {&other, []string{"Upload-Length", strconv.Itoa(2 << 20)}, 422, "quota"},
		"too large":          {s, []string{"Upload-Length", strconv.Itoa(64<<20 + 1)}, 413, "larger"},
		"of no length":       {s, nil, 400, "Upload-Length"},
		"of deferred length": {s, []string{"Upload-Defer-Length", "1"}, 422, "Upload-Length"},
		"empty":              {s, []string{"Upload-Length", "0"}, 422, "empty"},
		"of another version": {s, []string{"Upload-Length", "1", "Tus-Resumable", "0.2.2"}, 412, "1.0.0"},
		"without a token":    {s, []string{"Upload-Length", "1", "Authorization", ""}, 401, "authenticate"},
	} {
		resp, text := c.s.tus("POST", s.URL+"/v2/uploads/", nil, c.headers...)
		if resp.StatusCode != c.want || !strings.Contains(text, c.says) || !strings.Contains(text, resp.Header.Get("X-Request-Id")) {
			t.Errorf("an upload %s: %d %s", name, resp.StatusCode, text)
		}
	}
	if code, message := other.send(address, 0, bytes.NewReader(append(disk, 0))); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a byte too many: %d %s", code, message)
	}
	if code, message := other.send(address, 0, bytes.NewReader(disk)); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, message)
	}
	if code, _ := s.createStatus("upload:" + path.Base(address)); code != http.StatusUnprocessableEntity {
		t.Errorf("another account imports it: %d", code)
	}
	if resp, _ := other.tus("DELETE", address, nil); resp.StatusCode != http.StatusNoContent {
		t.Errorf("its account deletes it: %d", resp.StatusCode)
	}
	if left, err := filepath.Glob(filepath.Join(s.data, "uploads", "[^.]*")); len(left) != 0 || err != nil {
		t.Errorf("left in the folder of uploads: %q, %v", left, err)
	}
	other.imported(other.uploaded(disk), disk) // within the quota, which the first upload has given back
	if resp, _ := s.tus("OPTIONS", s.URL+"/v2/uploads", nil, "Authorization", ""); resp.Header.Get("Tus-Extension") != "creation,creation-with-upload,termination,expiration,checksum" {
		t.Errorf("OPTIONS: %d %v", resp.StatusCode, resp.Header)
	}
}

// uploaded sends a file in one request.
func (s *service) uploaded(disk []byte) string {
	s.t.Helper()
	resp, text := s.tus("POST", s.URL+"/v2/uploads", bytes.NewReader(disk), "Upload-Length", strconv.Itoa(len(disk)),
		"Content-Type", "application/offset+octet-stream")
	if resp == nil || resp.StatusCode != http.StatusCreated || resp.Header.Get("Upload-Offset") != strconv.Itoa(len(disk)) {
		s.t.Fatal(resp, text)
	}
	return resp.Header.Get("Location")
}

func TestAFailedImportKeepsItsUpload(t *testing.T) {
	disk := rawDisk(2<<20, 24)
	s := start(t, t.TempDir())
	address := s.uploaded(disk)
	id := s.create("wrong sum", fmt.Sprintf("upload:%s#sha256=%064d", path.Base(address), 0))
	if m := s.settled(id); m.Status != "deleted" || !strings.Contains(m.ErrorMessage, "sha256") {
		t.Fatalf("%+v", m)
	}
	s.imported(address, disk)

	address = s.uploaded(disk)
	if err := os.Truncate(filepath.Join(s.data, "uploads", path.Base(address)), 1<<20); err != nil {
		t.Fatal(err)
	}
	id = s.create("shrunk", "upload:"+path.Base(address))
	if m := s.settled(id); m.Status != "deleted" || !strings.Contains(m.ErrorMessage, "1048576 bytes and had 2097152") {
		t.Errorf("%+v", m)
	}
}

func TestARealClientUploads(t *testing.T) {
	disktest.NeedTool(t, "node", "npm")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("clients/tus")); err != nil {
		t.Fatal(err)
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		t.Skipf("npm ci: %v", err)
	}
	disk := rawDisk(8<<20, 25)
	file := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, t.TempDir())
	run := func(mode ...string) (said struct {
		URL   string
		First int
	}) {
		t.Helper()
		args := append([]string{filepath.Join(dir, "upload.mjs"), s.URL + "/v2/uploads", s.Token, file}, mode...)
		if err := json.Unmarshal([]byte(disktest.Run(t, "node", args...)), &said); err != nil {
			t.Fatal(err)
		}
		return said
	}
	cut := run("cut", strconv.Itoa(3<<20))
	if at := s.offset(cut.URL); at < 3<<20 || at >= len(disk) {
		t.Fatalf("after the cut the upload ends at %d", at)
	}
	if resumed := run("resume", cut.URL); resumed.URL != cut.URL || resumed.First < 3<<20 {
		t.Errorf("the upload %+v was resumed as %+v", cut, resumed)
	}
	s.imported(cut.URL, disk)
}
