package gradient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"ingot/gradient"
	"ingot/gradient/option"
	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/export"
	"ingot/internal/image"
	"ingot/internal/store"
)

const token = "a token with spaces"

// service is the real API on a catalogue of its own, with one account. Imports begin and end as the test says.
type service struct {
	catalog *catalog.Catalog
	server  *httptest.Server
	account int64
	storeID int64
}

func newService(t testing.TB) *service {
	t.Helper()
	s := &service{}
	if err := s.open(t.Context(), filepath.Join(t.TempDir(), "ingot.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func (s *service) open(ctx context.Context, path string) (err error) {
	log := slog.New(slog.DiscardHandler)
	if s.catalog, err = catalog.Open(ctx, "sqlite:"+path, catalog.Options{Log: log}); err != nil {
		return err
	}
	if err := s.populate(ctx); err != nil {
		return err
	}
	a, err := api.New(api.Config{Catalog: s.catalog, Files: disks{export.New()}, Log: log})
	if err != nil {
		return err
	}
	s.server = httptest.NewUnstartedServer(nil)
	s.server.Config = api.NewServer(a, log)
	s.server.Config.RegisterOnShutdown(a.Drain)
	s.server.Start()
	return nil
}

func (s *service) close() {
	s.server.CloseClientConnections()
	s.server.Close()
	s.catalog.Close()
}

func (s *service) populate(ctx context.Context) error {
	stores := map[string]string{}
	for _, r := range image.DefaultRegions() {
		stores[r.Slug] = "file:/nowhere"
	}
	ids, err := s.catalog.SetRegions(ctx, stores)
	if err != nil {
		return err
	}
	s.storeID = ids["nyc3"]
	a, err := s.catalog.CreateAccount(ctx, image.Account{Name: "alice", Email: "alice@example.com"})
	if err != nil {
		return err
	}
	s.account = a.ID
	_, err = s.catalog.CreateToken(ctx, image.Token{AccountID: a.ID, Name: "all", Scopes: []string{image.ScopeAll}}, sha256.Sum256([]byte(token)))
	return err
}

// client returns a client of the service.
func (s *service) client(opts ...option.RequestOption) gradient.Client {
	return gradient.NewClient(append([]option.RequestOption{option.WithBaseURL(s.server.URL), option.WithAccessToken(token)}, opts...)...)
}

// finish ends the next import with the disk that disks opens.
func (s *service) finish(ctx context.Context) error {
	claim, err := s.catalog.Claim(ctx, "worker", time.Hour)
	if err != nil || claim == nil {
		return fmt.Errorf("no import can be claimed: %w", err)
	}
	w := store.Written{
		Manifest: sha256.Sum256(disk), Object: fmt.Sprint("manifest-", claim.ImageID), Size: 100,
		GuestSize: int64(len(disk)), DataBytes: int64(len(disk)), StoredBytes: 100,
	}
	owner := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	if err := s.catalog.Index(s.storeID).Begin(ctx, owner, store.KindManifest, w.Object); err != nil {
		return err
	}
	p := image.Progress{
		Phase: image.PhaseDone, BytesRead: 1000, BytesExpected: 1000, ContentDigest: w.Manifest.String(),
		Seconds: map[image.Phase]float64{image.PhaseFetching: 4},
	}
	return s.catalog.Publish(ctx, *claim, p, w)
}

// fail ends the next import without one.
func (s *service) fail(ctx context.Context, code, message string) error {
	claim, err := s.catalog.Claim(ctx, "worker", time.Hour)
	if err != nil || claim == nil {
		return fmt.Errorf("no import can be claimed: %w", err)
	}
	return s.catalog.Fail(ctx, *claim, code, message)
}

// disk is what every image of the service holds.
var disk = bytes.Repeat([]byte("a guest's disk. "), 1<<12)

type disks struct{ exporter *export.Exporter }

func (d disks) Open(_ context.Context, c image.Content, format string) (api.File, error) {
	return d.exporter.File(memory{bytes.NewReader(disk)}, c.Digest, format)
}

type memory struct{ *bytes.Reader }

func (m memory) NextData(off int64) (start, end int64, err error) {
	if off >= m.Size() {
		return 0, 0, io.EOF
	}
	return off, m.Size(), nil
}

// faulty is a server that answers each request with the next of its answers, and keeps the requests.
type faulty struct {
	*httptest.Server
	requests []*http.Request
	bodies   []string
}

func newFaulty(t testing.TB, answers ...http.HandlerFunc) *faulty {
	t.Helper()
	f := &faulty{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		n := len(f.requests)
		f.requests, f.bodies = append(f.requests, r), append(f.bodies, string(body))
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

func (f *faulty) client(opts ...option.RequestOption) gradient.Client {
	return gradient.NewClient(append([]option.RequestOption{option.WithBaseURL(f.URL), option.WithAccessToken(token)}, opts...)...)
}

// answer answers with a status, a body of JSON, and headers in pairs.
func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// cut answers with less than the header promises.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"image":`)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// hangUp answers nothing.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
