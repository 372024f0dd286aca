// Package gradienttest holds what the SDK is tested against: the real API, and servers with faults.
package gradienttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"ingot/gradient/option"
	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/export"
	"ingot/internal/image"
	"ingot/internal/store"
)

// Token is what the servers of this package are asked with.
const Token = "a token with spaces"

// Service is the real API on a catalogue of its own, with one account. Imports begin and end as the test says.
type Service struct {
	Catalog *catalog.Catalog
	Server  *httptest.Server
	api     *api.API
	account int64
	storeID int64
}

// New starts a service for a test.
func New(t testing.TB) *Service {
	t.Helper()
	s, err := Start(t.Context(), filepath.Join(t.TempDir(), "ingot.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a service on a database file, which need not be there.
func Start(ctx context.Context, path string) (*Service, error) {
	s := &Service{}
	return s, s.open(ctx, path)
}

func (s *Service) open(ctx context.Context, path string) (err error) {
	log := slog.New(slog.DiscardHandler)
	if s.Catalog, err = catalog.Open(ctx, "sqlite:"+path, catalog.Options{Log: log}); err != nil {
		return err
	}
	if err := s.populate(ctx); err != nil {
		return err
	}
	if s.api, err = api.New(api.Config{Catalog: s.Catalog, Files: disks{export.New()}, Log: log}); err != nil {
		return err
	}
	s.Server = httptest.NewUnstartedServer(nil)
	s.Server.Config = api.NewServer(s.api, log)
	s.Server.Start()
	return nil
}

// Close ends the service.
func (s *Service) Close() {
	s.api.Drain()
	s.Server.Close()
	s.Catalog.Close()
}

// Drain ends the streams of events, as a shutdown does.
func (s *Service) Drain() { s.api.Drain() }

func (s *Service) populate(ctx context.Context) error {
	stores := map[string]string{}
	for _, r := range image.DefaultRegions() {
		stores[r.Slug] = "file:/nowhere"
	}
	ids, err := s.Catalog.SetRegions(ctx, stores)
	if err != nil {
		return err
	}
	s.storeID = ids["nyc3"]
	a, err := s.Catalog.CreateAccount(ctx, image.Account{Name: "alice", Email: "alice@example.com"})
	if err != nil {
		return err
	}
	s.account = a.ID
	_, err = s.Catalog.CreateToken(ctx, image.Token{AccountID: a.ID, Name: "all", Scopes: []string{image.ScopeAll}}, sha256.Sum256([]byte(Token)))
	return err
}

// Options are those of a client of the service.
func (s *Service) Options() []option.RequestOption { return options(s.Server) }

func options(s *httptest.Server) []option.RequestOption {
	return []option.RequestOption{option.WithBaseURL(s.URL), option.WithAccessToken(Token)}
}

// Finish ends the next import with Disk.
func (s *Service) Finish(ctx context.Context) error {
	claim, err := s.Catalog.Claim(ctx, "worker", time.Hour)
	if err != nil || claim == nil {
		return fmt.Errorf("no import can be claimed: %w", err)
	}
	w := store.Written{
		Manifest: sha256.Sum256(Disk), Object: fmt.Sprint("manifest-", claim.ImageID), Size: 100,
		GuestSize: int64(len(Disk)), DataBytes: int64(len(Disk)), StoredBytes: 100,
	}
	owner := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	if err := s.Catalog.Index(s.storeID).Begin(ctx, owner, store.KindManifest, w.Object); err != nil {
		return err
	}
	p := image.Progress{
		Phase: image.PhaseDone, BytesRead: 1000, BytesExpected: 1000, ContentDigest: w.Manifest.String(),
		Seconds: map[image.Phase]float64{image.PhaseFetching: 4},
	}
	return s.Catalog.Publish(ctx, *claim, p, w)
}

// Fail ends the next import without one.
func (s *Service) Fail(ctx context.Context, code, message string) error {
	claim, err := s.Catalog.Claim(ctx, "worker", time.Hour)
	if err != nil || claim == nil {
		return fmt.Errorf("no import can be claimed: %w", err)
	}
	return s.Catalog.Fail(ctx, *claim, code, message)
}

// Disk is what every image of the service holds.
var Disk = bytes.Repeat([]byte("a guest's disk. "), 1<<12)

type disks struct{ exporter *export.Exporter }

func (d disks) Open(_ context.Context, c image.Content, format string) (api.File, error) {
	return d.exporter.File(memory{bytes.NewReader(Disk)}, c.Digest, format)
}

type memory struct{ *bytes.Reader }

func (m memory) NextData(off int64) (start, end int64, err error) {
	if off >= m.Size() {
		return 0, 0, io.EOF
	}
	return off, m.Size(), nil
}
