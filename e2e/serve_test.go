package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/e2e/harness"
)

func TestImportReadBackShareAndDelete(t *testing.T) {
	disk := rawDisk(24<<20, 1)
	o := newOrigin(t, map[string][]byte{"disk.raw.gz": gzipped(t, disk), "disk.raw": disk})
	s := start(t, t.TempDir(), "--allow-source", o.allow())

	first := s.create("one", o.URL+"/disk.raw.gz")
	if m := s.settled(first); m.Status != "available" || m.MinDiskSize == nil || *m.MinDiskSize != 1 {
		t.Fatalf("image: %+v\n%s", m, s.Log)
	}
	if !bytes.Equal(s.content(first), disk) {
		t.Fatal("the image read back differs from the disk imported")
	}
	second := s.create("two", o.URL+"/disk.raw")
	if m := s.settled(second); m.Status != "available" {
		t.Fatalf("image: %+v", m)
	}
	a, b := s.progress(first), s.progress(second)
	if a.ContentDigest == "" || a.ContentDigest != b.ContentDigest {
		t.Errorf("one content, two digests: %q and %q", a.ContentDigest, b.ContentDigest)
	}
	if b.StoredBytes > 64<<10 { // its manifest alone
		t.Errorf("importing the same disk again stored %d bytes", b.StoredBytes)
	}

	s.delete(first)
	if !bytes.Equal(s.content(second), disk) {
		t.Fatal("deleting one image spoiled another one of the same content")
	}
	s.delete(second)
	s.Eventually("the space of both is freed", func() bool { return bytesUnder(t, filepath.Join(s.data, "store")) == 0 })
}

func (s *service) delete(id int64) {
	s.t.Helper()
	path := fmt.Sprintf("/v2/images/%d", id)
	if code := s.call("DELETE", path, nil, nil); code != http.StatusNoContent {
		s.t.Fatalf("DELETE image %d: %d", id, code)
	}
	if code := s.call("GET", path, nil, nil); code != http.StatusNotFound {
		s.t.Fatalf("GET image %d after DELETE: %d", id, code)
	}
	if code := s.call("DELETE", path, nil, nil); code != http.StatusUnprocessableEntity {
		s.t.Fatalf("second DELETE of image %d: %d", id, code)
	}
}

func TestDeleteDuringTheImportFreesEverything(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"disk.raw": rawDisk(64<<20, 2)})
	o.rate.Store(8 << 20)
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	id := s.create("one", o.URL+"/disk.raw")
	s.Eventually("the import has stored something", func() bool { return s.progress(id).BytesRead > 8<<20 })
	s.delete(id)
	s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(s.data, "store")) == 0 })
	if n := bytesUnder(t, filepath.Join(s.data, "scratch")); n != 0 {
		t.Errorf("%d bytes left in scratch", n)
	}
}

func TestAKilledServiceFinishesItsImports(t *testing.T) {
	disk := rawDisk(48<<20, 3)
	o := newOrigin(t, map[string][]byte{"disk.raw.gz": gzipped(t, disk)})
	data := t.TempDir()
	for round := range 3 {
		o.rate.Store(4 << 20)
		s := start(t, data, "--allow-source", o.allow())
		id := s.create(fmt.Sprint("round ", round), o.URL+"/disk.raw.gz")
		enough := int64(1+round*4) << 20
		s.Eventually("the import is under way", func() bool { return s.progress(id).BytesRead > enough })
		s.Kill()

		o.rate.Store(0)
		s = start(t, data, "--allow-source", o.allow())
		if m := s.settled(id); m.Status != "available" {
			t.Fatalf("round %d: after kill -9 the import ended as %+v\n%s", round, m, s.Log)
		}
		if p := s.progress(id); p.Attempt != 1 {
			t.Errorf("round %d: an interrupted import counts as attempt %d", round, p.Attempt)
		}
		if !bytes.Equal(s.content(id), disk) {
			t.Fatalf("round %d: the image differs from its source", round)
		}
		if n := bytesUnder(t, filepath.Join(data, "scratch")); n != 0 {
			t.Errorf("round %d: %d bytes left in scratch", round, n)
		}
		s.delete(id)
		s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(data, "store")) == 0 })
		s.Kill()
	}
}

func TestShutdownHandsBackAnImport(t *testing.T) {
	disk := rawDisk(32<<20, 4)
	o := newOrigin(t, map[string][]byte{"disk.raw": disk})
	o.rate.Store(4 << 20)
	data := t.TempDir()
	s := start(t, data, "--allow-source", o.allow())
	id := s.create("one", o.URL+"/disk.raw")
	s.Eventually("the import is under way", func() bool { return s.progress(id).BytesRead > 2<<20 })
	if code := s.Terminate(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, s.Log)
	}
	o.rate.Store(0)
	s = start(t, data, "--allow-source", o.allow())
	if m := s.settled(id); m.Status != "available" || s.progress(id).Attempt != 1 {
		t.Fatalf("after a restart: %+v, %+v\n%s", m, s.progress(id), s.Log)
	}
}

func TestBadInputEndsWithAReason(t *testing.T) {
	disk := rawDisk(8<<20, 5)
	gz := gzipped(t, disk)
	o := newOrigin(t, map[string][]byte{
		"page.html": []byte("<html><body>Sign in</body></html>"), "cut.raw.gz": gz[:len(gz)/2], "disk.raw.xz": []byte("\xfd7zXZ\x00\x00"),
		"good.raw": disk,
	})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	for _, c := range []struct{ name, url, want string }{
		{"an error page", o.URL + "/page.html", "HTML"},
		{"a truncated gzip", o.URL + "/cut.raw.gz", "We had a problem decompressing your file."},
		{"another wrapper", o.URL + "/disk.raw.xz", "We don't support the compression format of your image."},
		{"a missing file", strings.Replace(o.URL, "http://", "http://user:swordfish@", 1) + "/absent", "404"},
		{"a forbidden address", "http://127.0.0.1:1/disk.raw", "--allow-source"},
		{"a wrong checksum", o.URL + "/good.raw#sha256=" + strings.Repeat("0", 64), "sha256"},
	} {
		id := s.create(c.name, c.url)
		m := s.settled(id)
		if m.Status != "deleted" || !strings.Contains(strings.ToLower(m.ErrorMessage), strings.ToLower(c.want)) {
			t.Errorf("%s: %+v; want %q in the message", c.name, m, c.want)
		}
		t.Logf("%s: %s", c.name, m.ErrorMessage)
	}
	if id := s.create("after all that", o.URL+"/good.raw"); s.settled(id).Status != "available" {
		t.Error("a good image fails after bad ones")
	}
	metrics := s.metrics()
	for _, want := range []string{`ingot_import_attempts_total{outcome="available"} 1`, `outcome="raw_`, "ingot_http_requests_total"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s:\n%s", want, metrics)
		}
	}
	for _, secret := range []string{s.Token, "swordfish"} {
		if strings.Contains(s.Log.String(), secret) || strings.Contains(metrics, secret) {
			t.Errorf("%q is in the log or the metrics", secret)
		}
	}
}

func TestTheFirstStartMakesAToken(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "new"))
	info, err := os.Stat(filepath.Join(s.data, "token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("token file: %v %v", info, err)
	}
	if code := s.call("GET", "/v2/images", nil, nil); code != http.StatusOK {
		t.Fatalf("list with the first token: %d", code)
	}
	ingot(t, "account", "create", "--data", s.data, "team")
	reader := strings.TrimSpace(ingot(t, "token", "create", "--data", s.data, "--account", "team", "--scope", "image:read"))
	s.Token = reader
	if code := s.call("GET", "/v2/images", nil, nil); code != http.StatusOK {
		t.Errorf("list with a token that may: %d", code)
	}
	body := map[string]string{"name": "x", "url": "https://example.com/x", "region": "nyc3"}
	if code := s.call("POST", "/v2/images", body, nil); code != http.StatusForbidden {
		t.Errorf("create with a token that may only read: %d", code)
	}
	ingot(t, "token", "revoke", "--data", s.data, "--account", "team", "2")
	if code := s.call("GET", "/v2/images", nil, nil); code != http.StatusUnauthorized {
		t.Errorf("list with a revoked token: %d", code)
	}
	// A second service on the same directory is refused, at once and in words.
	second := startFailing(t, "serve", "--data", s.data, "--listen", harness.FreeAddress(t))
	if !strings.Contains(second, "another service is running") {
		t.Errorf("a second service says %q", second)
	}
}

func TestDemo(t *testing.T) {
	out := ingot(t, "demo")
	for _, want := range []string{"accepted as image 1", "available", "read back and equal", "curl"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}
