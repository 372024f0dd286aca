package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"ingot/internal/api"
)

// TestRateLimit asks until the service has had enough.
func TestRateLimit(t *testing.T) {
	s := newService(t, func(c *api.Config) { c.Limiter = api.NewLimiter() })
	ask := func(path, token string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+s.tokens[token])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	begun := time.Now()
	var resp *http.Response
	for n := 1; ; n++ {
		if resp = ask("/v2/regions", "alice"); resp.StatusCode != http.StatusOK {
			break
		}
		if got := resp.Header.Get("Ratelimit-Remaining"); got != strconv.Itoa(5000-n) || resp.Header.Get("Ratelimit-Limit") != "5000" {
			t.Fatalf("request %d: ratelimit-remaining %s of %s", n, got, resp.Header.Get("Ratelimit-Limit"))
		}
		if n > 5000 {
			t.Fatal("there is no limit")
		}
	}
	if time.Since(begun) > time.Minute {
		t.Skip("the machine is too slow to reach the limit within a minute")
	}
	retry, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if resp.StatusCode != http.StatusTooManyRequests || err != nil || retry < 1 || retry > 60 {
		t.Errorf("status %d, retry-after %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	s.wantProblem(t, s.get(t, "/v2/regions"), http.StatusTooManyRequests, "too_many_requests", "API Rate limit exceeded.")
	if got := resp.Header.Get("Ratelimit-Remaining"); got != "4750" {
		t.Errorf("ratelimit-remaining %s", got)
	}
	if reset, err := strconv.ParseInt(resp.Header.Get("Ratelimit-Reset"), 10, 64); err != nil || reset < begun.Unix()+3599 || reset > time.Now().Unix()+3601 {
		t.Errorf("ratelimit-reset %s", resp.Header.Get("Ratelimit-Reset"))
	}
	for _, other := range []struct {
		path, token string
		status      int
	}{
		{"/v2/regions", "bob", http.StatusOK},
		{"/v2/regions", "unknown", http.StatusUnauthorized},
		{"/healthz", "", http.StatusOK},
		{"/v2/nothing", "alice", http.StatusNotFound},
	} {
		if resp := ask(other.path, other.token); resp.StatusCode != other.status {
			t.Errorf("%s as %q: %d, want %d", other.path, other.token, resp.StatusCode, other.status)
		}
	}
}
