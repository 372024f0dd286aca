package catalog

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/store"
)

const lease = time.Minute

// account makes an account and returns its id.
func (c *Catalog) account(t testing.TB, name string, q image.Quota) int64 {
	t.Helper()
	a, err := c.CreateAccount(t.Context(), image.Account{Name: name, Email: name + "@example.com", Quota: q})
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func request(name string, tags ...string) image.Create {
	return image.Create{
		Name: name, URL: "https://user:secret@example.com/" + name + "?signature=abc#sha256=00",
		Distribution: "Debian", Region: "nyc3", Description: "about " + name, Tags: tags,
	}
}

// create queues an import and returns the image.
func (c *Catalog) create(t testing.TB, account int64, name string, tags ...string) image.Image {
	t.Helper()
	m, err := c.CreateImage(t.Context(), account, request(name, tags...), image.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// claim returns the next import, of which there must be one.
func (c *Catalog) claim(t testing.TB) image.Claim {
	t.Helper()
	claim, err := c.Claim(t.Context(), "w", lease)
	if err != nil {
		t.Fatal(err)
	}
	if claim == nil {
		t.Fatal("no import waits")
	}
	return *claim
}

// written is what an import of n bytes of guest data may leave in the store. Its digest depends on the seed.
func written(seed string, n int64) store.Written {
	d := sha256.Sum256([]byte(seed))
	return store.Written{Manifest: d, Object: "manifest-" + seed, Size: 100, GuestSize: 2 * n, DataBytes: n}
}

// available makes an image and imports it; nothing else may wait.
func (c *Catalog) available(t testing.TB, account int64, name string, tags ...string) image.Image {
	t.Helper()
	m := c.create(t, account, name, tags...)
	claim := c.claim(t)
	if claim.ImageID != m.ID {
		t.Fatalf("claimed image %d, want %d", claim.ImageID, m.ID)
	}
	c.publish(t, claim, 1000)
	return c.image(t, account, m.ID)
}

// publish ends an import well.
func (c *Catalog) publish(t testing.TB, claim image.Claim, bytes int64) {
	t.Helper()
	w := written(claim.Lease, bytes)
	c.begin(t, claim, w)
	if err := c.Publish(t.Context(), claim, image.Progress{Phase: image.PhaseFinishing}, w); err != nil {
		t.Fatal(err)
	}
}

// begin registers the manifest's object, as the store does before it writes it.
func (c *Catalog) begin(t testing.TB, claim image.Claim, w store.Written) {
	t.Helper()
	var id int64
	err := c.writer.QueryRowContext(t.Context(), `SELECT store_id FROM region WHERE slug = $1`, claim.Region).Scan(&id)
	if err != nil {
		t.Fatal(err)
	}
	owner := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	if err := c.Index(id).Begin(t.Context(), owner, store.KindManifest, w.Object); err != nil {
		t.Fatal(err)
	}
}

func (c *Catalog) image(t testing.TB, account, id int64) image.Image {
	t.Helper()
	m, err := c.Image(t.Context(), account, id)
	if err != nil {
		t.Fatalf("image %d: %v", id, err)
	}
	return m
}

// do runs SQL of the test's own.
func (c *Catalog) do(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := c.writer.ExecContext(t.Context(), c.d.text(query), args...); err != nil {
		t.Fatal(err)
	}
}

// wantHolding fails the test unless the account holds this, and unless that is what its images add up to.
func (c *Catalog) wantHolding(t testing.TB, account int64, want change) {
	t.Helper()
	var got change
	err := c.writer.QueryRowContext(t.Context(),
		`SELECT images, bytes, queued, running FROM quota WHERE account_id = $1`, account).
		Scan(&got.images, &got.bytes, &got.queued, &got.running)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("account %d holds %+v, want %+v", account, got, want)
	}
	if n, err := c.CheckCounters(t.Context()); err != nil || n != 0 {
		t.Errorf("CheckCounters: %d wrong, %v", n, err)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func wantInvalid(t testing.TB, what string, err error, text string) {
	t.Helper()
	if image.KindOf(err) != image.Invalid || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: error %v, want an Invalid one with %q", what, err, text)
	}
}
