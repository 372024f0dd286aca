package e2e

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestSourceAuthority imports from a server whose certificate no system trusts, without --source-ca and with it.
func TestSourceAuthority(t *testing.T) {
	disk := rawDisk(2<<20, 61)
	o := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(disk) }))
	t.Cleanup(o.Close)
	authority := writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw})))
	for _, c := range []struct {
		args   []string
		status string
	}{{nil, "deleted"}, {[]string{"--source-ca", authority}, "available"}} {
		s := start(t, t.TempDir(), append(c.args, "--allow-source", strings.TrimPrefix(o.URL, "https://"))...)
		if m := s.settled(s.create("one", o.URL+"/disk.raw")); m.Status != c.status {
			t.Errorf("with %v: %+v\n%s", c.args, m, s.Log)
		}
	}
}

// TestSourceProxy imports from a host that only the proxy knows; it is allowed by name, as the service looks others up.
func TestSourceProxy(t *testing.T) {
	disk := rawDisk(2<<20, 62)
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		url := r.URL.String()
		asked.Store(&url)
		io.Copy(io.Discard, r.Body)
		w.Write(disk)
	}))
	t.Cleanup(proxy.Close)
	s := start(t, t.TempDir(), "--source-proxy", proxy.URL, "--allow-source", "images.invalid")
	const url = "http://images.invalid/disk.raw"
	if m := s.settled(s.create("one", url)); m.Status != "available" {
		t.Fatalf("%+v\n%s", m, s.Log)
	}
	if got := asked.Load(); got == nil || *got != url {
		t.Errorf("the proxy was asked for %v", got)
	}
}
