package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/api"
	"ingot/internal/image"
)

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// faulty is a catalogue that fails where it is told to.
type faulty struct {
	api.Catalog
	fail func() error // nil: it works
}

func (f *faulty) Image(ctx context.Context, account, id int64) (image.Image, error) {
	if f.fail != nil {
		return image.Image{}, f.fail()
	}
	return f.Catalog.Image(ctx, account, id)
}

func (f *faulty) Ping(ctx context.Context) error {
	if f.fail != nil {
		return f.fail()
	}
	return f.Catalog.Ping(ctx)
}

// get asks for a path with alice's token.
func (s *service) get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	return s.do(t, http.MethodGet, path, nil, header...)
}

func (s *service) do(t *testing.T, method, path string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.tokens["alice"])
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// wantProblem checks an answer's status, and that its body says no more than the error's message.
func wantProblem(t *testing.T, resp *http.Response, status int, id, message string) {
	t.Helper()
	var got struct {
		ID, Message string
		RequestID   string `json:"request_id"`
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if resp.StatusCode != status || got.ID != id || got.Message != message || got.RequestID != resp.Header.Get("X-Request-Id") {
		t.Errorf("%d %s, want %d %s %s", resp.StatusCode, body, status, id, message)
	}
}

// What nobody foresaw is one answer without a word about its cause, which stands in the log under the request's id.
func TestUnforeseen(t *testing.T) {
	tests := []struct {
		name string
		fail func() error
	}{
		{"error", func() error { return errors.New("disk /var/lib/secret is broken") }},
		{"panic", func() error { panic("disk /var/lib/secret is broken") }},
		{"panic with an error", func() error { panic(errors.New("disk /var/lib/secret is broken")) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log := &buffer{}
			s := newService(t, func(cfg *api.Config) {
				cfg.Catalog = &faulty{cfg.Catalog, tt.fail}
				cfg.Log = slog.New(slog.NewTextHandler(log, nil))
			})
			resp := s.get(t, "/v2/images/1")
			wantProblem(t, resp, 500, "server_error", "Unexpected server-side error.")
			for _, want := range []string{resp.Header.Get("X-Request-Id"), "/var/lib/secret is broken"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log does not hold %q:\n%s", want, log)
				}
			}
			if strings.Contains(log.String(), s.tokens["alice"]) {
				t.Errorf("the log holds the token:\n%s", log)
			}
		})
	}
}

func TestBusy(t *testing.T) {
	s := newService(t, func(cfg *api.Config) {
		cfg.Catalog = &faulty{cfg.Catalog, func() error {
			return &image.Error{Kind: image.Busy, Message: "Try again shortly.", Cause: errors.New("locked")}
		}}
	})
	resp := s.get(t, "/v2/images/1")
	wantProblem(t, resp, 503, "service_unavailable", "Try again shortly.")
	if after := resp.Header.Get("Retry-After"); after != "1" {
		t.Errorf("retry-after is %q", after)
	}
}

func TestNotReady(t *testing.T) {
	f := &faulty{}
	s := newService(t, func(cfg *api.Config) { f.Catalog, cfg.Catalog = cfg.Catalog, f })
	f.fail = func() error { return errors.New("no database") }
	wantProblem(t, s.get(t, "/readyz"), 503, "service_unavailable", "The catalogue does not answer.")
	if resp := s.get(t, "/healthz"); resp.StatusCode != 200 {
		t.Errorf("health is %d: a restart would not bring the database back", resp.StatusCode)
	}
	f.fail = nil
	if resp := s.get(t, "/readyz"); resp.StatusCode != 200 {
		t.Errorf("ready again: %d", resp.StatusCode)
	}
	s.api.Drain()
	wantProblem(t, s.get(t, "/readyz"), 503, "service_unavailable", "The service is shutting down.")
}

// counted allows each token so many requests.
type counted struct {
	mu   sync.Mutex
	left map[int64]int
}

func (c *counted) Take(token int64) api.Rate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.left[token]; !known {
		c.left[token] = 2
	}
	rate := api.Rate{Limit: 2, Reset: time.Unix(1_700_000_000, 0)}
	if c.left[token] == 0 {
		rate.Wait = 1500 * time.Millisecond
		return rate
	}
	c.left[token]--
	rate.Remaining = c.left[token]
	return rate
}

func TestLimiter(t *testing.T) {
	s := newService(t, func(cfg *api.Config) { cfg.Limiter = &counted{left: map[int64]int{}} })
	for _, remaining := range []string{"1", "0"} {
		resp := s.get(t, "/v2/images")
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("RateLimit-Limit") != "2" || h.Get("RateLimit-Remaining") != remaining || h.Get("RateLimit-Reset") != "1700000000" {
			t.Errorf("%d %v, want %s remaining", resp.StatusCode, h, remaining)
		}
	}
	resp := s.get(t, "/v2/images")
	wantProblem(t, resp, 429, "too_many_requests", "API Rate limit exceeded.")
	if after := resp.Header.Get("Retry-After"); after != "2" {
		t.Errorf("retry-after is %q, want whole seconds that are enough", after)
	}
	if resp := s.get(t, "/v2/images", "Authorization", "Bearer "+s.tokens["bob"]); resp.StatusCode != 200 {
		t.Errorf("another token's request: %d", resp.StatusCode)
	}
}

func TestPublicURL(t *testing.T) {
	s := newService(t, func(cfg *api.Config) { cfg.PublicURL = "https://images.example.com/ingot/" })
	body, err := io.ReadAll(s.get(t, "/v2/images?page=2").Body)
	if want := `"first":"https://images.example.com/ingot/v2/images?page=1"`; err != nil || !strings.Contains(string(body), want) {
		t.Errorf("%v: %s, want %s", err, body, want)
	}
	for _, bad := range []string{"images.example.com", "/v2", "https://", "https://a/?x", "https://a/#x", "ftp://%"} {
		if _, err := api.New(api.Config{PublicURL: bad}); err == nil {
			t.Errorf("the public URL %q was accepted", bad)
		}
	}
}

// A body whose length nobody announced is counted while it is read.
func TestChunkedBodyTooLarge(t *testing.T) {
	s := newService(t, nil)
	body := io.MultiReader(strings.NewReader(strings.Repeat(" ", 3<<20))) // hides the length
	wantProblem(t, s.do(t, http.MethodPost, "/v2/images", body), 413, "request_entity_too_large", "The request body is too large; at most 1 MiB will do.")
	body = io.MultiReader(strings.NewReader("{}" + strings.Repeat(" ", 1<<20-2)))
	wantProblem(t, s.do(t, http.MethodPost, "/v2/images", body), 422, "unprocessable_entity", "name, url and region are required and must not be empty.")
}
