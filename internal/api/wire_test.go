package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/export"
	"ingot/internal/image"
	"ingot/internal/store"
	"ingot/internal/upload"
)

// TestWire holds the conversations in testdata with the real handler on the real catalogue, one service a script.
func TestWire(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.wire")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".wire"), func(t *testing.T) {
			s := newService(t, nil)
			w := &wire{addr: s.server.Listener.Addr().String(), tokens: s.tokens, spec: newDescribed(t, s.api)}
			w.vars = map[string]string{"$origin": s.server.URL, "$digest": s.digest.String()}
			for name, id := range s.accounts {
				w.vars["$"+name] = s.uuid(t, id)
			}
			for _, step := range readScript(t, path) {
				ok := t.Run(step.name, func(t *testing.T) {
					w.t = t
					for _, d := range step.directives {
						if fields := strings.Fields(d); fields[0] == "upload" { // ACCOUNT NAME BYTES: an upload is begun, whose id gets a name
							w.vars[fields[2]] = s.beginUpload(t, fields[1], fields[3])
							continue
						}
						s.direct(t, w.expand(d))
					}
					if step.request.first != "" {
						w.run(step)
					}
					if t.Failed() {
						t.Logf("%s:%d", path, step.line)
					}
				})
				if !ok && step.request.first == "" {
					t.FailNow() // what follows builds on it
				}
			}
		})
	}
}

// service is an API on a catalogue of its own, with two accounts and tokens of several kinds.
type service struct {
	api      *api.API
	catalog  *catalog.Catalog
	server   *httptest.Server
	tokens   map[string]string // secrets by name
	accounts map[string]int64
	ids      map[string]int64 // of tokens
	files    *files
	claims   map[string]image.Claim // by image, as scripts write it
	storeID  int64
	disk     export.Disk
	digest   store.Digest // of the disk
	woken    int
	spec     *described // nil: not asked for yet
}

// newService starts a service; change, if there is one, edits its configuration.
func newService(t testing.TB, change func(*api.Config)) *service {
	t.Helper()
	return newServiceOn(t, "sqlite:"+filepath.Join(t.TempDir(), "ingot.db"), change)
}

// newServiceOn starts a service on a database.
func newServiceOn(t testing.TB, database string, change func(*api.Config)) *service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	c, err := catalog.Open(t.Context(), database, catalog.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	uploads, err := upload.New(t.TempDir(), image.MaxSize, c)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{
		catalog: c, files: newFiles(), tokens: map[string]string{"unknown": "no such token"},
		accounts: map[string]int64{}, ids: map[string]int64{}, claims: map[string]image.Claim{},
		disk: newMemory(), digest: store.Digest{1, 2, 3},
	}
	s.populate(t)
	cfg := api.Config{Catalog: c, Files: s.files, Uploads: uploads, Log: log, Wake: func() { s.woken++ }}
	if change != nil {
		change(&cfg)
	}
	if s.api, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	s.serve(t, func(*http.Server) {})
	return s
}

// serve starts a server of the API, and makes it the one that is asked.
func (s *service) serve(t testing.TB, change func(*http.Server)) {
	s.server = httptest.NewUnstartedServer(nil)
	s.server.Config = api.NewServer(s.api, slog.New(slog.DiscardHandler))
	change(s.server.Config)
	s.server.Start()
	t.Cleanup(func() {
		s.api.Drain()
		s.server.Close()
	})
}

func (s *service) populate(t testing.TB) {
	t.Helper()
	stores := map[string]string{}
	for _, r := range image.DefaultRegions() {
		stores[r.Slug] = "file:/nowhere"
	}
	stores["syd1"] = "file:/elsewhere"
	ids, err := s.catalog.SetRegions(t.Context(), stores)
	if err != nil {
		t.Fatal(err)
	}
	s.storeID = ids["nyc3"]
	emails := map[string]string{"alice": "alice@example.com", "bob": "bob@example.com", "twin": "Alice@example.com"}
	for _, name := range slices.Sorted(maps.Keys(emails)) {
		a, err := s.catalog.CreateAccount(t.Context(), image.Account{Name: name, Email: emails[name]})
		if err != nil {
			t.Fatal(err)
		}
		s.accounts[name] = a.ID
		s.token(t, name, a.ID, time.Time{}, image.ScopeAll)
	}
	alice := s.accounts["alice"]
	s.token(t, "reader", alice, time.Time{}, "image:read")
	s.token(t, "creator", alice, time.Time{}, "image:create")
	s.token(t, "tagger", alice, time.Time{}, "image:create", "tag:create")
	s.token(t, "writer", alice, time.Time{}, "image:delete", "image:update")
	s.token(t, "updater", alice, time.Time{}, "image:update")
	s.token(t, "expired", alice, time.Now().Add(-time.Minute), image.ScopeAll)
	s.token(t, "with spaces", alice, time.Time{}, image.ScopeAll)
}

func (s *service) uuid(t testing.TB, account int64) string {
	t.Helper()
	a, err := s.catalog.Account(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return a.UUID
}

func (s *service) token(t testing.TB, name string, account int64, expires time.Time, scopes ...string) {
	t.Helper()
	secret := "secret of " + name // tokens may hold spaces
	tok, err := s.catalog.CreateToken(t.Context(), image.Token{AccountID: account, Name: name, Scopes: scopes, ExpiresAt: expires}, sha256.Sum256([]byte(secret)))
	if err != nil {
		t.Fatal(err)
	}
	s.tokens[name], s.ids[name] = secret, tok.ID
}

// files makes files of disks in memory, by the content's digest.
type files struct {
	exporter *export.Exporter
	disks    map[string]export.Disk
}

func newFiles() *files { return &files{export.New(), map[string]export.Disk{}} }

func (f *files) Open(_ context.Context, c image.Content, format string) (api.File, error) {
	if format == "manifest" {
		return plain("the manifest of " + c.Digest), nil
	}
	return f.exporter.File(f.disks[c.Digest], c.Digest, format)
}

// plain is a file of some text.
type plain string

func (p plain) Size() int64 { return int64(len(p)) }

func (p plain) WriteRange(_ context.Context, w io.Writer, off, n int64) error {
	_, err := io.WriteString(w, string(p[off:off+n]))
	return err
}

// memory is a disk of holes but for three places.
type memory struct{ bytes []byte }

func newMemory() *memory {
	m := &memory{make([]byte, 3_000_777)}
	for _, off := range []int64{0, 1_500_000, 3_000_770} {
		copy(m.bytes[off:], m.text(off))
	}
	return m
}

func (m *memory) text(off int64) string {
	return map[int64]string{0: "the start", 1_500_000: "in the middle", 3_000_770: "the end"}[off]
}

func (m *memory) Size() int64 { return int64(len(m.bytes)) }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.bytes).ReadAt(p, off)
}

func (m *memory) NextData(off int64) (start, end int64, err error) {
	for _, start := range []int64{0, 1_500_000, 3_000_770} {
		if end := start + int64(len(m.text(start))); off < end {
			return max(start, off), end, nil
		}
	}
	return 0, 0, io.EOF
}
