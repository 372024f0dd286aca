package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

func testPublications(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	ask := func(url string) image.Image {
		t.Helper()
		in := request("debian")
		in.URL = url
		in.Publish = &image.Publication{Slug: "debian-12", Kind: image.KindDistribution, Type: image.Base, Regions: []string{"fra1", "lon1"}}
		m, err := c.CreateImage(ctx, a, in, image.IdempotencyKey{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	_, _, err := c.Published(ctx, "debian-12", "https://example.com/1")
	wantErr(t, "nothing yet", err, image.ErrNotFound)
	first := ask("https://example.com/1")
	_, err = c.Image(ctx, b, first.ID)
	wantErr(t, "before it is imported", err, image.ErrNotFound)
	if m, same, err := c.Published(ctx, "debian-12", "https://example.com/1"); m.ID != first.ID || !same || err != nil {
		t.Errorf("while it waits: %d, %v, %v", m.ID, same, err)
	}
	c.publish(t, c.claim(t), 10)
	m, err := c.ImageBySlug(ctx, 0, "debian-12")
	if err != nil {
		t.Fatal(err)
	}
	// lon1 is on another store, and gets its copy later.
	c.replicated(t, c.replication(t))
	if m, err = c.ImageBySlug(ctx, 0, "debian-12"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"fra1", "lon1", "nyc3"}, m.Regions); diff != "" || m.Type != image.Base || !m.Public || m.Kind != image.KindDistribution {
		t.Errorf("%+v\n%s", m, diff)
	}

	// Another URL: the old image serves until the new one is there, and loses the slug at that moment.
	second := ask("https://example.com/2")
	claim := c.claim(t)
	if m, err := c.ImageBySlug(ctx, 0, "debian-12"); m.ID != first.ID || err != nil {
		t.Errorf("meanwhile the slug is of %d, %v", m.ID, err)
	}
	if _, same, err := c.Published(ctx, "debian-12", "https://example.com/1"); same || err != nil {
		t.Errorf("the former URL is still the same: %v, %v", same, err)
	}
	c.publish(t, claim, 20)
	if m, err := c.ImageBySlug(ctx, 0, "debian-12"); m.ID != second.ID || err != nil {
		t.Errorf("the slug is of %d, %v", m.ID, err)
	}
	if old := c.image(t, b, first.ID); old.Status != image.Retired || old.Slug != "" {
		t.Errorf("the former image is %s with the slug %q", old.Status, old.Slug)
	}
	if _, total, err := c.ListImages(ctx, b, image.Filter{}, image.Page{Number: 1, Size: 10}); total != 1 || err != nil {
		t.Errorf("the list has %d, %v", total, err)
	}

	// A retired image comes back; a failed import is as none.
	if _, err := c.Retire(ctx, second.ID); err != nil {
		t.Fatal(err)
	}
	p := image.Publication{Slug: "debian-12", Kind: image.KindApplication, Type: image.Snapshot, Name: "new name"}
	if m, err = c.MakePublic(ctx, second.ID, p); m.Status != image.Available || m.Name != "new name" || err != nil {
		t.Errorf("%+v, %v", m, err)
	}
	ask("https://example.com/3")
	if err := c.Fail(ctx, c.claim(t), "x", "no"); err != nil {
		t.Fatal(err)
	}
	if m, _, err := c.Published(ctx, "debian-12", ""); m.ID != second.ID || err != nil {
		t.Errorf("after a failure %d, %v", m.ID, err)
	}
	third := c.available(t, b, "z")
	_, err = c.MakePublic(ctx, third.ID, p)
	wantInvalid(t, "a slug that is taken", err, "debian-12")
	p.Replace, p.Regions = true, []string{"fra1"}
	if m, err = c.MakePublic(ctx, third.ID, p); m.Slug != "debian-12" || len(m.Regions) != 2 || err != nil {
		t.Errorf("%+v, %v", m, err)
	}
	p.Regions = []string{"lon1"}
	for range 2 { // the second time it is on its way already
		if m, err = c.MakePublic(ctx, third.ID, p); len(m.Regions) != 2 || err != nil {
			t.Errorf("with a region on another store: %+v, %v", m, err)
		}
	}
	c.wantHolding(t, a, change{images: 2, bytes: 30})
}
