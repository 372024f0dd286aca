package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"ingot/internal/image"
)

// FuzzRequests sends all kinds of requests with a token that may do everything: none is the service's fault, none is
// a redirect, and every error is JSON.
func FuzzRequests(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v2/images?page=2&per_page=1&tag_name=a", ""}, {"POST", "/v2/images", `{"name":"a","url":"http://a/","region":"nyc3"}`},
		{"PUT", "/v2/images/1", `{"name":"b"}`}, {"DELETE", "/v2/images/3/", "x"}, {"HEAD", "/v2/images/1/import", ""},
		{"GET", "/v2/images/1/file?format=qcow2", ""}, {"OPTIONS", "/v2//images/../x", ""}, {"GET", "/v2/images/%00%ff%2f..", ""},
		{"POST", "/v2/images/1/actions", `{"type":"transfer","region":"fra1"}`}, {"GET", "/v2/actions?page=2", ""}, {"GET", "/v2/images/1/actions/1", ""},
		{"POST", "/v2/tags", `{"name":"a:b"}`}, {"DELETE", "/v2/tags/a%3Ab/resources", `{"resources":[{"resource_id":"1","resource_type":"image"}]}`},
		{"GET", "/v2/tags/a", ""}, {"GET", "/v2/regions?per_page=1", ""}, {"POST", "/v2/images/1/account_transfer/accept", `{"transfer_id":1,"recipient_uuid":""}`},
		{"POST", "/v2/images/2/account_transfer", `{"recipient_email":"bob@example.com"}`}, {"GET", "/v2/account", ""},
		{"GET", "/v2/images/ubuntu;x=1?type=application&private=%zz", ""}, {"PATCH", "//", ""}, {"GET", "/v2/images/%2e%2e", ""},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]))
	}
	s := newService(f, nil)
	s.register(f, "alice", image.Backup, "1")
	s.register(f, "alice", image.Snapshot, "2")
	s.create(f, "alice", 3)
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !strings.HasPrefix(target, "/") {
			t.Skip("Go's server lets no such target through")
		}
		r, err := http.NewRequest(method, "http://example.com/", strings.NewReader(string(body)))
		if err != nil {
			t.Skip("no method")
		}
		r.URL, r.RequestURI = u, target
		r.Header.Set("Authorization", "Bearer "+s.tokens["alice"])
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		if w.Code >= 500 || w.Code/100 == 3 {
			t.Errorf("%s %q: %d %s", method, target, w.Code, w.Body)
		}
		if w.Code >= 400 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q: %d with %q, no JSON", method, target, w.Code, w.Body)
		}
	})
}
