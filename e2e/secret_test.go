package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestThePasswordOfASourceStaysSecret imports with a password in the URL: well, in vain, by a redirect, and at the second
// attempt. Nothing that the service writes or answers may hold it, nor its files once the imports have ended.
func TestThePasswordOfASourceStaysSecret(t *testing.T) {
	const user, password = "reader", "swordfish7f3a"
	disk := rawDisk(4<<20, 51)
	var broken atomic.Bool
	serve := func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/broken": // once, and without a way to go on
			if w.Header().Set("Content-Length", fmt.Sprint(len(disk))); broken.CompareAndSwap(false, true) {
				w.Write(disk[:len(disk)/2])
				return
			}
			fallthrough
		case "/good":
			w.Write(disk)
		default:
			http.NotFound(w, r)
		}
	}
	o := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(o.Close)
	host := strings.TrimPrefix(o.URL, "http://")
	s := start(t, t.TempDir(), "--allow-source", host)

	said := ""
	for _, c := range []struct {
		path, status string
		attempt      int
	}{{"/good", "available", 1}, {"/absent", "deleted", 1}, {"/moved", "available", 1}, {"/broken", "available", 2}} {
		body := map[string]any{"name": c.path, "region": "nyc3", "url": "http://" + user + ":" + password + "@" + host + c.path}
		created := s.text("POST", "/v2/images", body)
		var answer struct{ Image wireImage }
		if err := json.Unmarshal([]byte(created), &answer); err != nil || answer.Image.ID == 0 {
			t.Fatalf("%v: %s", err, created)
		}
		id := answer.Image.ID
		m := s.settled(id)
		if p := s.progress(id); m.Status != c.status || p.Attempt != c.attempt {
			t.Errorf("%s: %s after %d attempts: %s; want %s after %d\n%s", c.path, m.Status, p.Attempt, m.ErrorMessage, c.status, c.attempt, s.Log)
		}
		said += created
		for _, path := range []string{"/v2/images/%d", "/v2/images/%d/import", "/v2/images/%d/actions"} {
			said += s.text("GET", fmt.Sprintf(path, id), nil)
		}
	}
	said += s.text("GET", "/v2/images?private=true", nil) + s.text("GET", "/v2/usage", nil) + s.metrics()
	if code := s.Terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for name, text := range filesUnder(t, s.data) {
		wantNoSecret(t, name, text, user, password)
	}
	wantNoSecret(t, "an answer or a metric", said, user, password)
	wantNoSecret(t, "the log", s.Log.String(), user, password)
}

// wantNoSecret looks for a password as it is and as a request has it.
func wantNoSecret(t *testing.T, where, text, user, password string) {
	t.Helper()
	for _, secret := range []string{password, base64.StdEncoding.EncodeToString([]byte(user + ":" + password))} {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s holds the password: %q", where, text[max(0, at-60):at+len(secret)])
		}
	}
}

// text is call for an answer as it is.
func (s *service) text(method, path string, body any) string {
	s.t.Helper()
	var answer json.RawMessage
	if code := s.call(method, path, body, &answer); code >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, code, answer)
	}
	return string(answer)
}

// filesUnder reads the files of a data directory by name: the catalogue with its log, the token, what was stored.
func filesUnder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files[filepath.Join(dir, "catalog.db")]) == 0 {
		t.Fatalf("no catalogue among %d files", len(files))
	}
	return files
}
