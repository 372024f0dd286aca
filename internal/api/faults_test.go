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
	"ingot/internal/catalog/pgtest"
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

// wantProblem checks an answer's status, that its body says no more than the error's message, and that both are described.
func (s *service) wantProblem(t *testing.T, resp *http.Response, status int, id, message string) {
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
	if s.spec == nil {
		s.spec = newDescribed(t, s.api)
	}
	s.spec.check(t, resp.Request.Method, resp.Request.URL.Path, resp, body)
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
			s.wantProblem(t, resp, 500, "server_error", "Unexpected server-side error.")
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
	s.wantProblem(t, resp, 503, "service_unavailable", "Try again shortly.")
	if after := resp.Header.Get("Retry-After"); after != "1" {
		t.Errorf("retry-after is %q", after)
	}
}

func TestNotReady(t *testing.T) {
	f := &faulty{}
	s := newService(t, func(cfg *api.Config) { f.Catalog, cfg.Catalog = cfg.Catalog, f })
	f.fail = func() error { return errors.New("no database") }
	s.wantProblem(t, s.get(t, "/readyz"), 503, "service_unavailable", "The catalogue does not answer.")
	if resp := s.get(t, "/healthz"); resp.StatusCode != 200 {
		t.Errorf("health is %d: a restart would not bring the database back", resp.StatusCode)
	}
	f.fail = nil
	if resp := s.get(t, "/readyz"); resp.StatusCode != 200 {
		t.Errorf("ready again: %d", resp.StatusCode)
	}
	s.api.Drain()
	s.wantProblem(t, s.get(t, "/readyz"), 503, "service_unavailable", "The service is shutting down.")
}

// refusing answers every upload with one of the library's errors.
type refusing struct {
	status int
	text   string
}

func (r refusing) ServeUpload(w http.ResponseWriter, _ *http.Request, _ int64) {
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.text)
}

// What is not the client's mistake asks it to come again, which clients of the protocol then do by themselves. A client
// that stalls is no error of the service's.
func TestUploadsAskToComeAgain(t *testing.T) {
	const stalled = "The body ceased to arrive. What has arrived is kept; ask by HEAD where to go on."
	for _, test := range []struct {
		refusing
		message string
		logged  bool
	}{
		{refusing{503, "ERR_BUSY: The database does not answer.\n"}, "The database does not answer.", true},
		{refusing{500, "ERR_READ_TIMEOUT: timeout while reading request body\n"}, stalled, false},
		{refusing{500, "ERR_CONNECTION_RESET: TCP connection reset by peer\n"}, stalled, false},
	} {
		log := &buffer{}
		s := newService(t, func(cfg *api.Config) {
			cfg.Uploads = test.refusing
			cfg.Log = slog.New(slog.NewTextHandler(log, nil))
		})
		resp := s.do(t, http.MethodPatch, "/v2/uploads/1", nil)
		s.wantProblem(t, resp, 503, "service_unavailable", test.message)
		if after := resp.Header.Get("Retry-After"); after != "1" {
			t.Errorf("%s: retry-after is %q", test.text, after)
		}
		if strings.Contains(log.String(), "level=ERROR") != test.logged {
			t.Errorf("%s: the log is %s", test.text, log)
		}
	}
}

// The service without its database: every client is told to come again.
func TestDatabaseGone(t *testing.T) {
	server := pgtest.Start(t)
	s := newServiceOn(t, server.Database(t), nil)
	s.create(t, "alice", 1)
	server.Stop(t)
	for _, ask := range []struct{ method, path, body string }{
		{"GET", "/v2/images/1", ""}, {"GET", "/v2/images", ""}, {"DELETE", "/v2/images/1", ""}, {"POST", "/v2/tags", `{"name": "x"}`},
	} {
		resp := s.do(t, ask.method, ask.path, strings.NewReader(ask.body))
		s.wantProblem(t, resp, 503, "service_unavailable", "The database does not answer; try again shortly.")
		if after := resp.Header.Get("Retry-After"); after != "1" {
			t.Errorf("%s %s: retry-after is %q", ask.method, ask.path, after)
		}
	}
	s.wantProblem(t, s.get(t, "/readyz"), 503, "service_unavailable", "The catalogue does not answer.")
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
	s.wantProblem(t, resp, 429, "too_many_requests", "API Rate limit exceeded.")
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
	s.wantProblem(t, s.do(t, http.MethodPost, "/v2/images", body), 413, "request_entity_too_large", "The request body is too large; at most 1 MiB will do.")
	body = io.MultiReader(strings.NewReader("{}" + strings.Repeat(" ", 1<<20-2)))
	s.wantProblem(t, s.do(t, http.MethodPost, "/v2/images", body), 422, "unprocessable_entity", "name, url and region are required and must not be empty.")
}
