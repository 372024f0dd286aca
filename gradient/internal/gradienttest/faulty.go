package gradienttest

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"ingot/gradient/option"
)

// Faulty is a server that answers each request with the next of its answers, and keeps the requests.
type Faulty struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

// NewFaulty starts a server for a test. A request past the last answer is an error of the test.
func NewFaulty(t testing.TB, answers ...http.HandlerFunc) *Faulty {
	t.Helper()
	f := &Faulty{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a client that breaks off is what some tests are about
		n := f.keep(r, string(body))
		if n >= len(answers) {
			t.Errorf("request %d was not expected: %s %s", n+1, r.Method, r.URL)
			return
		}
		answers[n](w, r)
	}))
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	t.Cleanup(f.Close)
	return f
}

func (f *Faulty) keep(r *http.Request, body string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.bodies = append(f.requests, r), append(f.bodies, body)
	return len(f.requests) - 1
}

// Requests returns the requests so far.
func (f *Faulty) Requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// Bodies returns the bodies of the requests so far.
func (f *Faulty) Bodies() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bodies
}

// Options are those of a client of the server.
func (f *Faulty) Options() []option.RequestOption { return options(f.Server) }

// Answer answers with a status, a body of JSON, and headers in pairs.
func Answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Cut answers with less than the header promises.
func Cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"image":`)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// HangUp answers nothing.
func HangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
