package s3_test

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/store"
	"ingot/internal/store/s3/s3test"
)

// house is a store in a bucket, with its catalogue.
type house struct {
	*store.Store
	t       *testing.T
	catalog *catalog.Catalog
	account int64
}

func newHouse(t *testing.T, url string, transport http.RoundTripper) *house {
	t.Helper()
	cat, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cat.Close() })
	ids, err := cat.SetRegions(t.Context(), map[string]string{"nyc3": url})
	if err != nil {
		t.Fatal(err)
	}
	account, err := cat.CreateAccount(t.Context(), image.Account{Name: "a", Email: "a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := store.New(open(t, url, transport), cat.Index(ids["nyc3"]))
	if err != nil {
		t.Fatal(err)
	}
	return &house{kept, t, cat, account.ID}
}

// disk is one of which all is data.
type disk struct{ *bytes.Reader }

func (d disk) NextData(off int64) (int64, int64, error) {
	if off >= d.Size() {
		return 0, 0, io.EOF
	}
	return off, d.Size(), nil
}

// claim begins an import.
func (h *house) claim() image.Claim {
	h.t.Helper()
	_, err := h.catalog.CreateImage(h.t.Context(), h.account, image.Create{Name: "i", URL: "https://example.com/i", Distribution: "Debian", Region: "nyc3"}, image.IdempotencyKey{})
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := h.catalog.Claim(h.t.Context(), "w", time.Minute)
	if err != nil || c == nil {
		h.t.Fatalf("claim: %v, %v", c, err)
	}
	return *c
}

// keep imports a disk.
func (h *house) keep(content []byte) (int64, store.Written) {
	h.t.Helper()
	c := h.claim()
	w, err := h.Write(h.t.Context(), store.Owner{Import: c.ImageID, Lease: c.Lease}, disk{bytes.NewReader(content)}, nil)
	if err == nil {
		err = h.catalog.Publish(h.t.Context(), c, image.Progress{}, w)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return c.ImageID, w
}

func (h *house) read(w store.Written) []byte {
	h.t.Helper()
	r, err := h.Open(h.t.Context(), w.Object, w.Manifest)
	if err != nil {
		h.t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// Deletions that fail leave their objects to the next sweep, and harm nothing.
func TestSweepsSurviveFailedDeletes(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	bucket := server.Bucket(t, "sweeps")
	var broken atomic.Bool
	broken.Store(true)
	h := newHouse(t, server.URL(bucket, ""), &faults{plan: func(req *http.Request) fault {
		if broken.Load() && kind(req) == "delete" {
			return denied
		}
		return none
	}})
	stays := content(6<<20, 7)
	_, kept := h.keep(stays)
	goes, _ := h.keep(content(20<<20, 8))
	if err := h.catalog.DeleteImage(t.Context(), h.account, goes); err != nil {
		t.Fatal(err)
	}
	_, before := server.Keys(t, bucket)
	if report, err := h.Sweep(t.Context()); err == nil || report.Deleted != 0 {
		t.Errorf("a sweep that may delete nothing: %+v, %v", report, err)
	}
	if _, now := server.Keys(t, bucket); now != before {
		t.Errorf("the bucket holds %d bytes, and %d before", now, before)
	}
	broken.Store(false)
	if _, err := h.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if _, now := server.Keys(t, bucket); before-now < 20<<20 {
		t.Errorf("%d bytes of %d were freed", before-now, before)
	}
	if !bytes.Equal(h.read(kept), stays) {
		t.Error("the other image was spoiled")
	}
}

// stale is a service whose lists are those of some time ago.
type stale struct {
	mu   sync.Mutex
	old  []byte // a list's answer
	hold bool
}

func (s *stale) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || kind(req) != "list" {
		return resp, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hold {
		s.old, err = io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
	}
	resp.Body.Close()
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(s.old)), int64(len(s.old))
	return resp, nil
}

// What a bucket lists may lack what is new and name what is gone: nothing is lost, freed twice or called damage by it.
func TestListsOfYesterday(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	bucket := server.Bucket(t, "stale")
	s := &stale{}
	h := newHouse(t, server.URL(bucket, ""), s)
	sound := func(when string) {
		t.Helper()
		if _, err := h.Check(t.Context(), func(d store.Damage) { t.Errorf("%s: %+v", when, d) }); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	goes, _ := h.keep(content(3<<20, 9))
	sound("at first") // and its list is what the service answers from now on
	s.hold = true
	stays := content(3<<20, 10)
	_, kept := h.keep(stays)
	sound("a list that lacks what is new")
	if err := h.catalog.DeleteImage(t.Context(), h.account, goes); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	sound("a list that names what is gone")
	if !bytes.Equal(h.read(kept), stays) {
		t.Error("the image was spoiled")
	}
	if keys, _ := server.Keys(t, bucket); len(keys) != 2 {
		t.Errorf("the bucket holds %q", keys)
	}
}

// What an import, a read and a deletion ask a bucket for. docs/operating.md reckons with these figures.
func TestRequestsPerGiB(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	f := &faults{}
	h := newHouse(t, server.URL(server.Bucket(t, "requests"), ""), f)
	const size = 96 << 20
	data := content(size, 11)
	id, w := h.keep(data)
	f.want(t, "import", map[string]int{"begin": 3, "part": 16, "complete": 3, "put": 1})
	if !bytes.Equal(h.read(w), data) {
		t.Error("other bytes were read")
	}
	f.want(t, "read", map[string]int{"head": 1, "get": 64})
	h.keep(data)
	f.want(t, "import again", map[string]int{"put": 1})
	if err := h.catalog.DeleteImage(t.Context(), h.account, id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	f.want(t, "deletion of one of two", map[string]int{"uploads": 2, "delete": 2})
}

// want compares the requests made since the last call with the most that there should be of each kind.
func (f *faults) want(t *testing.T, what string, most map[string]int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for kind, n := range f.count {
		if n > most[kind] {
			t.Errorf("%s: %d requests of the kind %s, at most %d", what, n, kind, most[kind])
		}
	}
	t.Log(what, f.count)
	f.count = map[string]int{}
}
