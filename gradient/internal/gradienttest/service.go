// Package gradienttest holds what the SDK is tested against: the real API, and servers with faults.
package gradienttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
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
	"ingot/internal/store/local"
	"ingot/internal/upload"
)

// Token is what the servers of this package are asked with.
const Token = "a token with spaces"

// Service is the real API on a catalogue of its own, with one account. Imports begin and end as the test says.
type Service struct {
	Catalog *catalog.Catalog
	Server  *httptest.Server
	Uploads string // the folder of uploads
	api     *api.API
	account int64
	storeID int64
	store   *store.Store
}

// New starts a service for a test.
func New(t testing.TB) *Service {
	t.Helper()
	s, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a service on an empty directory.
func Start(ctx context.Context, dir string) (*Service, error) {
	s := &Service{}
	return s, s.open(ctx, dir)
}

func (s *Service) open(ctx context.Context, dir string) (err error) {
	log := slog.New(slog.DiscardHandler)
	if s.Catalog, err = catalog.Open(ctx, "sqlite:"+filepath.Join(dir, "ingot.db"), catalog.Options{Log: log}); err != nil {
		return err
	}
	if err := s.populate(ctx); err != nil {
		return err
	}
	objects, err := local.Open(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	if s.store, err = store.New(objects, s.Catalog.Index(s.storeID)); err != nil {
		return err
	}
	s.Uploads = filepath.Join(dir, "uploads")
	uploads, err := upload.New(s.Uploads, 1<<30, s.Catalog)
	if err != nil {
		return err
	}
	if s.api, err = api.New(api.Config{Catalog: s.Catalog, Uploads: uploads, Files: files{s.store, export.New()}, Log: log}); err != nil {
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
	owner := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	w, err := s.store.Write(ctx, owner, memory{bytes.NewReader(Disk)}, nil)
	if err != nil {
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

// Disk is what every image of the service holds: data that cannot be guessed, and a hole.
var Disk = makeDisk()

const holeStart, holeEnd = 1 << 20, 2 << 20

func makeDisk() []byte {
	d := make([]byte, 3_000_320)
	random := rand.NewChaCha8([32]byte{5})
	for _, part := range [][]byte{d[:holeStart], d[holeEnd:]} {
		_, _ = random.Read(part) // it never fails
	}
	return d
}

// memory is Disk as the importer would open it.
type memory struct{ *bytes.Reader }

func (m memory) NextData(off int64) (start, end int64, err error) {
	switch {
	case off < holeStart:
		return off, holeStart, nil
	case off < m.Size():
		return max(off, holeEnd), m.Size(), nil
	}
	return 0, 0, io.EOF
}

// files opens what the store keeps.
type files struct {
	store    *store.Store
	exporter *export.Exporter
}

func (f files) Open(ctx context.Context, c image.Content, format string) (api.File, error) {
	var digest store.Digest
	if _, err := hex.Decode(digest[:], []byte(c.Digest)); err != nil {
		return nil, err
	}
	d, err := f.store.Open(ctx, c.Object, digest)
	if err != nil {
		return nil, err
	}
	if format == "manifest" {
		return d.Manifest(), nil
	}
	return f.exporter.File(d, c.Digest, format)
}
