package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/store"
)

// publishing is a publisher on a catalogue of its own, which no service serves.
type publishing struct {
	publisher
	t     *testing.T
	store int64
}

func newPublishing(t *testing.T) *publishing {
	t.Helper()
	cat, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cat.Close(); err != nil {
			t.Error(err)
		}
	})
	stores, err := cat.SetRegions(t.Context(), map[string]string{"nyc3": "file:/nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	account, err := cat.CreateAccount(t.Context(), image.Account{Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPublisher(t.Context(), cat, account, terminal{io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return &publishing{*p, t, stores["nyc3"]}
}

// begins begins what an entry for the slug x needs, and returns the image, what is said of it, and the error's text.
func (p *publishing) begins(url string, replace bool) (image.Image, string) {
	p.t.Helper()
	p.replace = replace
	in, err := entry{Slug: "x", URL: url, Kind: image.KindDistribution}.request(p.regions)
	if err != nil {
		p.t.Fatal(err)
	}
	m, state, err := p.begin(p.t.Context(), in)
	if err != nil {
		state = err.Error()
	}
	return m, state
}

// imports ends the import that waits.
func (p *publishing) imports() {
	p.t.Helper()
	claim, err := p.cat.Claim(p.t.Context(), "w", time.Minute)
	if err != nil || claim == nil {
		p.t.Fatal(claim, err)
	}
	w := store.Written{Manifest: store.Digest{byte(claim.ImageID)}, Object: claim.Lease, Size: 100, GuestSize: 10, DataBytes: 10}
	owner := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	if err := p.cat.Index(p.store).Begin(p.t.Context(), owner, store.KindManifest, w.Object); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cat.Publish(p.t.Context(), *claim, image.Progress{}, w); err != nil {
		p.t.Fatal(err)
	}
}

// damages does what a check does that finds everything damaged.
func (p *publishing) damages() {
	p.t.Helper()
	all, err := p.cat.Index(p.store).Manifests(p.t.Context(), 0, 100)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range all {
		if err := p.cat.Index(p.store).Judge(p.t.Context(), m.ID, true); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *publishing) status(id int64) image.Status {
	p.t.Helper()
	m, err := p.cat.Image(p.t.Context(), p.account.ID, id)
	if image.KindOf(err) == image.NotFound {
		return image.Deleted
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return m.Status
}

func TestPublishRefusesBeforeItDeletes(t *testing.T) {
	p := newPublishing(t)
	first, _ := p.begins("https://example.com/1", false)
	if _, said := p.begins("https://example.com/2", false); !strings.Contains(said, "being imported") || !strings.Contains(said, "--replace") {
		t.Errorf("beside an import: %s", said)
	}
	if s := p.status(first.ID); s != image.New {
		t.Errorf("the import that was under way is %s", s)
	}
	if m, said := p.begins("https://example.com/1", false); m.ID != first.ID || said != stateImporting {
		t.Errorf("the same again: %d %s", m.ID, said)
	}
	second, said := p.begins("https://example.com/2", true)
	if said != stateImporting || second.ID == first.ID || p.status(first.ID) != image.Deleted {
		t.Errorf("with --replace: %s, and the first is %s", said, p.status(first.ID))
	}
}

func TestPublishADamagedImage(t *testing.T) {
	p := newPublishing(t)
	first, _ := p.begins("https://example.com/1", false)
	p.imports()
	if _, said := p.begins("https://example.com/1", false); said != "unchanged" {
		t.Fatalf("before: %s", said)
	}
	p.damages()
	for _, url := range []string{"https://example.com/1", "https://example.com/2"} {
		if _, said := p.begins(url, false); !strings.Contains(said, "damaged") || !strings.Contains(said, "--replace") {
			t.Errorf("%s: %s", url, said)
		}
	}
	second, said := p.begins("https://example.com/1", true)
	if said != stateImporting || second.ID == first.ID {
		t.Errorf("with --replace: %d %s", second.ID, said)
	}
	if s := p.status(first.ID); s != image.Pending {
		t.Errorf("the damaged image is %s; it must stay until the other is there", s)
	}
	p.imports()
	if m, err := p.cat.ImageBySlug(t.Context(), nobody, "x"); err != nil || m.ID != second.ID || m.Status != image.Available {
		t.Errorf("the slug's image: %+v %v", m, err)
	}
	if s := p.status(first.ID); s != image.Retired {
		t.Errorf("the damaged image is %s", s)
	}
}

// A damaged image that was retired stays so: nobody asked for it.
func TestPublishLeavesRetiredAlone(t *testing.T) {
	p := newPublishing(t)
	first, _ := p.begins("https://example.com/1", false)
	p.imports()
	if _, err := p.cat.Retire(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	p.damages()
	if m, said := p.begins("https://example.com/1", true); m.ID != first.ID || !strings.HasPrefix(said, "retired, and left alone") {
		t.Errorf("%d %s", m.ID, said)
	}
}
