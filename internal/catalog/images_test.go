package catalog

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ingot/internal/image"
)

func testCreate(t *testing.T, c *Catalog) {
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	first := c.create(t, a, "one", "Web", "db")
	want := image.Image{
		ID: first.ID, AccountID: a, Name: "one", Type: image.Custom, Distribution: "Debian", Description: "about one",
		Regions: []string{}, Tags: []string{"Web", "db"}, Status: image.New, CreatedAt: first.CreatedAt,
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	if age := time.Since(first.CreatedAt); age > time.Minute || age < -time.Second || first.CreatedAt.Nanosecond() != 0 {
		t.Errorf("created at %v", first.CreatedAt)
	}
	if diff := cmp.Diff(first, c.image(t, a, first.ID)); diff != "" {
		t.Errorf("read back: %s", diff)
	}
	second := c.create(t, a, "two", "WEB", "x", "DB")
	if diff := cmp.Diff([]string{"Web", "db", "x"}, second.Tags); diff != "" || second.ID <= first.ID {
		t.Errorf("the first spelling counts: %s", diff)
	}
	if got := c.create(t, b, "three", "WEB").Tags; got[0] != "WEB" {
		t.Errorf("tags of another account: %v", got)
	}
	c.wantHolding(t, a, change{images: 2, queued: 2})

	in := request("four")
	in.Region = "mars1"
	_, err := c.CreateImage(t.Context(), a, in, image.IdempotencyKey{})
	wantInvalid(t, "an unknown region", err, "region")
	_, err = c.CreateImage(t.Context(), 77, request("four"), image.IdempotencyKey{})
	wantErr(t, "an unknown account", err, image.ErrNotFound)
	c.wantHolding(t, a, change{images: 2, queued: 2})
}

func testQuota(t *testing.T, c *Catalog) {
	ctx := t.Context()
	for name, test := range map[string]struct {
		quota image.Quota
		text  string
		free  func(account int64, held []image.Image)
	}{
		"images": {image.Quota{Images: 2}, "holds 2 images", func(a int64, held []image.Image) {
			if err := c.DeleteImage(ctx, a, held[1].ID); err != nil {
				t.Fatal(err)
			}
		}},
		"bytes": {image.Quota{Bytes: 2000}, "2000 bytes", func(a int64, held []image.Image) {
			if err := c.DeleteImage(ctx, a, held[0].ID); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.account(t, name, test.quota)
			held := []image.Image{c.available(t, a, "one"), c.available(t, a, "two")}
			_, err := c.CreateImage(ctx, a, request("three"), image.IdempotencyKey{})
			wantInvalid(t, "a third", err, test.text)
			c.wantHolding(t, a, change{images: 2, bytes: 2000})
			test.free(a, held)
			c.available(t, a, "three")
		})
	}
	t.Run("imports", func(t *testing.T) {
		a := c.account(t, "imports", image.Quota{Imports: 2})
		c.create(t, a, "one")
		claim := c.claim(t)
		c.create(t, a, "two")
		_, err := c.CreateImage(ctx, a, request("three"), image.IdempotencyKey{})
		wantInvalid(t, "a third", err, "imports 2 images at the moment")
		c.publish(t, claim, 5)
		c.create(t, a, "three")
		c.publish(t, c.claim(t), 1)
		c.publish(t, c.claim(t), 1)
	})
	t.Run("bytes at the end of an import", func(t *testing.T) {
		a := c.account(t, "late", image.Quota{Bytes: 1500})
		c.create(t, a, "one")
		c.create(t, a, "two")
		c.publish(t, c.claim(t), 1000)
		claim := c.claim(t)
		w := written("x", 501)
		c.begin(t, claim, w)
		err := c.Publish(ctx, claim, image.Progress{}, w)
		if err == nil || !strings.HasPrefix(err.Error(), "quota_bytes: The image holds 501 bytes") {
			t.Errorf("Publish: %v", err)
		}
		c.wantHolding(t, a, change{images: 2, bytes: 1000, running: 1})
		c.publish(t, claim, 500)
	})
}

func testIdempotency(t *testing.T, c *Catalog) {
	a, b := c.account(t, "a", image.Quota{Images: 2}), c.account(t, "b", image.Quota{})
	key := image.IdempotencyKey{Key: "k\xff", BodyHash: [32]byte{1}}
	make := func(account int64, key image.IdempotencyKey) int64 {
		t.Helper()
		m, err := c.CreateImage(t.Context(), account, request("x"), key)
		if err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	first := make(a, key)
	if second := make(a, key); second != first {
		t.Errorf("the same key made image %d, want %d", second, first)
	}
	_, err := c.CreateImage(t.Context(), a, request("y"), image.IdempotencyKey{Key: key.Key, BodyHash: [32]byte{2}})
	wantInvalid(t, "another body", err, "Idempotency-Key")
	if other := make(b, key); other == first {
		t.Error("another account got the image")
	}
	c.do(t, `UPDATE idempotency SET created_at = created_at - $1`, 23*time.Hour.Milliseconds())
	if again := make(a, key); again != first {
		t.Errorf("after 23 hours: image %d, want %d", again, first)
	}
	c.do(t, `UPDATE idempotency SET created_at = created_at - $1`, 2*time.Hour.Milliseconds())
	if late := make(a, key); late == first {
		t.Error("after 25 hours the key was still known")
	}
	if again := make(a, key); again == first { // in spite of the quota, which is used up
		t.Error("the key names the old image again")
	}
	c.wantHolding(t, a, change{images: 2, queued: 2})
	last := make(a, key)
	if err := c.DeleteImage(t.Context(), a, last); err != nil {
		t.Fatal(err)
	}
	again := make(a, key)
	if again == last {
		t.Error("the key answers an image that was deleted")
	}
	if twice := make(a, key); twice != again {
		t.Errorf("the key made image %d, then %d", again, twice)
	}
}

func testVisibility(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	private := c.available(t, a, "private", "t")
	public := c.available(t, a, "public", "t")
	if _, err := c.MakePublic(ctx, public.ID, image.Publication{Slug: "debian-13", Kind: image.KindDistribution, Type: image.Base}); err != nil {
		t.Fatal(err)
	}
	retired := c.available(t, a, "retired")
	if _, err := c.MakePublic(ctx, retired.ID, image.Publication{Slug: "debian-12", Kind: image.KindDistribution, Type: image.Base}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Retire(ctx, retired.ID); err != nil {
		t.Fatal(err)
	}
	failed := c.create(t, a, "failed")
	if err := c.Fail(ctx, c.claim(t), "code", "why"); err != nil {
		t.Fatal(err)
	}
	deleted := c.create(t, a, "deleted")
	if err := c.DeleteImage(ctx, a, deleted.ID); err != nil {
		t.Fatal(err)
	}
	waiting := c.create(t, a, "waiting")
	ok, no, gone, not := error(nil), image.ErrNotFound, image.ErrAlreadyDeleted, image.ErrForbidden
	for _, row := range []struct {
		name                                               string
		id                                                 int64
		ownerGet, otherGet, otherPut, otherDelete, content error
	}{
		{"private", private.ID, ok, no, no, no, no},
		{"public", public.ID, ok, ok, not, not, ok},
		{"retired", retired.ID, ok, ok, not, not, ok},
		{"failed", failed.ID, ok, no, no, no, no},
		{"deleted", deleted.ID, no, no, no, no, no},
		{"waiting", waiting.ID, ok, no, no, no, no},
		{"unknown", 1 << 40, no, no, no, no, no},
		{"zero", 0, no, no, no, no, no},
		{"negative", -1, no, no, no, no, no},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := c.Image(ctx, a, row.id)
			wantErr(t, "the owner's GET", err, row.ownerGet)
			_, err = c.ImportProgress(ctx, a, row.id)
			wantErr(t, "the owner's progress", err, row.ownerGet)
			m, err := c.Image(ctx, b, row.id)
			wantErr(t, "another's GET", err, row.otherGet)
			if len(m.Tags) > 0 {
				t.Errorf("another account sees the tags %v", m.Tags)
			}
			_, err = c.ImportProgress(ctx, b, row.id)
			wantErr(t, "another's progress", err, no)
			_, err = c.UpdateImage(ctx, b, row.id, image.Update{})
			wantErr(t, "another's PUT", err, row.otherPut)
			wantErr(t, "another's DELETE", c.DeleteImage(ctx, b, row.id), row.otherDelete)
			_, err = c.Content(ctx, b, row.id)
			wantErr(t, "another's file", err, row.content)
		})
	}
	wantErr(t, "the owner's second DELETE", c.DeleteImage(ctx, a, deleted.ID), gone)
	for slug, want := range map[string]int64{"debian-13": public.ID, "debian-12": retired.ID} {
		m, err := c.ImageBySlug(ctx, 0, slug)
		if err != nil || m.ID != want || len(m.Tags) > 0 {
			t.Errorf("%s: %+v, %v", slug, m, err)
		}
	}
	if m, err := c.ImageBySlug(ctx, a, "debian-13"); err != nil || !slices.Equal(m.Tags, []string{"t"}) {
		t.Errorf("by its owner: %+v, %v", m, err)
	}
	if m, err := c.ImageBySlug(ctx, b, "debian-13"); err != nil || len(m.Tags) > 0 {
		t.Errorf("by another, after its owner: %+v, %v", m, err)
	}
	for _, slug := range []string{"", "none", "a\x00b", "\xff", "DEBIAN-13", "1"} {
		_, err := c.ImageBySlug(ctx, 0, slug)
		wantErr(t, slug, err, no)
	}
}

func testPublish(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "one")
	_, err := c.Content(ctx, a, m.ID)
	wantInvalid(t, "content before the import", err, "status is NEW")
	wantProgress(t, c, m, image.Progress{Phase: image.PhaseQueued, Attempt: 1})

	claim := c.claim(t)
	want := image.Claim{
		ImageID: m.ID, AccountID: a, URL: request("one").URL, Region: "nyc3", Attempt: 1, Worker: "w", Lease: claim.Lease,
	}
	if diff := cmp.Diff(want, claim); diff != "" {
		t.Error(diff)
	}
	m.Status = image.Pending
	if diff := cmp.Diff(m, c.image(t, a, m.ID)); diff != "" {
		t.Error(diff)
	}
	wantProgress(t, c, m, image.Progress{Phase: image.PhaseConnecting, Attempt: 1})
	p := image.Progress{Phase: image.PhaseFetching, BytesRead: 1, BytesExpected: 2, GuestBytes: 3, GuestSize: 4, DataBytes: 5,
		StoredBytes: 6, SharedBytes: 7, Format: "qcow2", Compression: "gzip", SourceSHA256: "a", ContentDigest: "b",
		Seconds: map[image.Phase]float64{image.PhaseFetching: 1.5}}
	if err := c.Report(ctx, claim, p); err != nil {
		t.Fatal(err)
	}
	p.Attempt = 1
	wantProgress(t, c, m, p)

	w := written("one", 3000)
	c.begin(t, claim, w)
	if err := c.Publish(ctx, claim, p, w); err != nil {
		t.Fatal(err)
	}
	m.Status, m.Regions, m.GuestSize, m.DataSize, m.Digest = image.Available, []string{"nyc3"}, 6000, 3000, w.Manifest.String()
	if diff := cmp.Diff(m, c.image(t, a, m.ID)); diff != "" {
		t.Error(diff)
	}
	p.Phase = image.PhaseDone
	wantProgress(t, c, m, p)
	content, err := c.Content(ctx, a, m.ID)
	wantContent := image.Content{ImageID: m.ID, Place: image.Place{StoreID: content.StoreID, Object: w.Object}, Others: []image.Place{}, Digest: m.Digest, GuestSize: 6000}
	if diff := cmp.Diff(wantContent, content); diff != "" || err != nil || content.StoreID == 0 {
		t.Errorf("%v, %s", err, diff)
	}
	c.wantHolding(t, a, change{images: 1, bytes: 3000})
	wantForgotten(t, c, m.ID)
}

// wantProgress compares all but the times, whose order it checks.
func wantProgress(t *testing.T, c *Catalog, m image.Image, want image.Progress) {
	t.Helper()
	got, err := c.ImportProgress(t.Context(), m.AccountID, m.ID)
	times := cmpopts.IgnoreFields(image.Progress{}, "UpdatedAt", "StartedAt", "FinishedAt")
	if diff := cmp.Diff(want, got, times); diff != "" || err != nil {
		t.Errorf("progress: %v\n%s", err, diff)
	}
	ended := want.Phase == image.PhaseDone || want.Phase == image.PhaseFailed
	if ended != !got.FinishedAt.IsZero() || ended && got.FinishedAt.Before(got.StartedAt) || got.UpdatedAt.Before(got.StartedAt) {
		t.Errorf("phase %s: started %v, updated %v, finished %v", want.Phase, got.StartedAt, got.UpdatedAt, got.FinishedAt)
	}
}

// wantForgotten fails the test unless the URL is gone and only what is no secret is kept.
func wantForgotten(t *testing.T, c *Catalog, id int64) {
	t.Helper()
	var url sql.NullString
	var source string
	err := c.writer.QueryRowContext(t.Context(), `SELECT url, source FROM import WHERE image_id = $1`, id).Scan(&url, &source)
	if err != nil {
		t.Fatal(err)
	}
	if url.Valid || !strings.HasPrefix(source, "https://example.com/") || strings.ContainsAny(source, "@?#") {
		t.Errorf("kept the URL %v and the source %q", url, source)
	}
}

func testFail(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{Images: 1})
	m := c.create(t, a, "one", "t")
	if err := c.Fail(ctx, c.claim(t), "source_404", "The source answered 404."); err != nil {
		t.Fatal(err)
	}
	m.Status, m.ErrorMessage = image.Deleted, "The source answered 404."
	if diff := cmp.Diff(m, c.image(t, a, m.ID)); diff != "" {
		t.Error(diff)
	}
	wantProgress(t, c, m, image.Progress{Phase: image.PhaseFailed, Attempt: 1, ErrorCode: "source_404", ErrorMessage: m.ErrorMessage})
	wantForgotten(t, c, m.ID)
	for _, f := range []image.Filter{{}, {Tag: "t"}, {Private: true}} {
		if page, total, err := c.ListImages(ctx, a, f, image.Page{Number: 1, Size: 20}); err != nil || total != 0 || len(page) != 0 {
			t.Errorf("list %+v: %v, %d, %v", f, page, total, err)
		}
	}
	c.wantHolding(t, a, change{})
	name := "renamed"
	if got, err := c.UpdateImage(ctx, a, m.ID, image.Update{Name: &name}); err != nil || got.Name != name {
		t.Errorf("update: %v, %v", got, err)
	}
	if err := c.DeleteImage(ctx, a, m.ID); err != nil {
		t.Errorf("the first DELETE: %v", err)
	}
	wantErr(t, "the second DELETE", c.DeleteImage(ctx, a, m.ID), image.ErrAlreadyDeleted)
	_, err := c.Image(ctx, a, m.ID)
	wantErr(t, "GET after DELETE", err, image.ErrNotFound)
	c.wantHolding(t, a, change{})
}

func testUpdate(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	name, empty, distribution := "new name", "", "Fedora"
	custom := c.create(t, a, "custom")
	custom.Name, custom.Description, custom.Distribution = name, empty, distribution
	all := image.Update{Name: &name, Description: &empty, Distribution: &distribution}
	for _, u := range []image.Update{all, {}} {
		got, err := c.UpdateImage(ctx, a, custom.ID, u)
		if diff := cmp.Diff(custom, got); diff != "" || err != nil {
			t.Errorf("%v: %s", err, diff)
		}
	}
	if diff := cmp.Diff(custom, c.image(t, a, custom.ID)); diff != "" {
		t.Error(diff)
	}
	c.publish(t, c.claim(t), 1)
	base, err := c.MakePublic(ctx, custom.ID, image.Publication{Slug: "x", Kind: image.KindApplication, Type: image.Base})
	if err != nil {
		t.Fatal(err)
	}
	base.Name = "only this"
	text := "changes on custom images alone"
	got, err := c.UpdateImage(ctx, a, base.ID, image.Update{Name: &base.Name, Description: &text, Distribution: &text})
	if diff := cmp.Diff(base, got); diff != "" || err != nil {
		t.Errorf("%v: %s", err, diff)
	}
}

func testDelete(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	queued := c.create(t, a, "queued", "t")
	running := c.create(t, a, "running", "t")
	c.do(t, `UPDATE import SET not_before = {{now}} + 60000 WHERE image_id = $1`, queued.ID)
	claim := c.claim(t)
	if claim.ImageID != running.ID {
		t.Fatalf("claimed %d, want %d", claim.ImageID, running.ID)
	}
	c.wantHolding(t, a, change{images: 2, queued: 1, running: 1})
	for _, id := range []int64{queued.ID, running.ID} {
		if err := c.DeleteImage(ctx, a, id); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "a second time", c.DeleteImage(ctx, a, id), image.ErrAlreadyDeleted)
		_, err := c.UpdateImage(ctx, a, id, image.Update{})
		wantErr(t, "an update", err, image.ErrNotFound)
		wantForgotten(t, c, id)
	}
	wantErr(t, "the worker's next word", c.Renew(ctx, claim, lease), image.ErrLeaseLost)
	c.wantHolding(t, a, change{})
	done := c.available(t, a, "done", "t")
	c.wantHolding(t, a, change{images: 1, bytes: 1000})
	if err := c.DeleteImage(ctx, a, done.ID); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, a, change{})
	if page, total, err := c.ListImages(ctx, a, image.Filter{Tag: "t"}, image.Page{Number: 1, Size: 20}); err != nil || total != 0 || len(page) != 0 {
		t.Errorf("list: %v, %d, %v", page, total, err)
	}
}

func testPublicImages(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	one, two := c.available(t, a, "one"), c.available(t, a, "two")
	pub := image.Publication{Slug: "debian", Kind: image.KindDistribution, Type: image.Base}
	waiting := c.create(t, a, "waiting")
	_, err := c.MakePublic(ctx, waiting.ID, pub)
	wantInvalid(t, "an image that waits", err, "status is NEW")
	_, err = c.MakePublic(ctx, one.ID, image.Publication{Slug: "123", Kind: pub.Kind, Type: pub.Type})
	wantInvalid(t, "a slug of digits", err, "slug")
	_, err = c.Retire(ctx, one.ID)
	wantInvalid(t, "retiring a private image", err, "not public")
	if _, err := c.MakePublic(ctx, one.ID, pub); err != nil {
		t.Fatal(err)
	}
	_, err = c.MakePublic(ctx, two.ID, pub)
	wantInvalid(t, "a slug in use", err, "has the slug debian")
	if _, err := c.Retire(ctx, one.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.MakePublic(ctx, two.ID, pub); err != nil {
		t.Errorf("the slug of a retired image: %v", err)
	}
	if m, err := c.ImageBySlug(ctx, 0, "debian"); err != nil || m.ID != two.ID {
		t.Errorf("slug: %+v, %v", m, err)
	}
	if m := c.image(t, a, one.ID); m.Slug != "" || m.Status != image.Retired {
		t.Errorf("the retired image: %+v", m)
	}
	_, err = c.Retire(ctx, 1<<40)
	wantErr(t, "an unknown image", err, image.ErrNotFound)
}

func testCounters(t *testing.T, c *Catalog) {
	a := c.account(t, "a", image.Quota{})
	for range 5 {
		c.create(t, a, "x", "t")
	}
	c.do(t, `UPDATE shelf_count SET n = n + 3 WHERE class = $1`, shelfOwn)
	c.do(t, `DELETE FROM shelf_count WHERE class = $1`, shelfTagOwn)
	c.do(t, `INSERT INTO shelf_count (class, owner, block, n) VALUES (1, 0, 7, 9)`)
	c.do(t, `UPDATE quota SET images = 7, queued = 0`)
	for _, want := range []int{4, 0} {
		if n, err := c.CheckCounters(t.Context()); n != want || err != nil {
			t.Errorf("CheckCounters: %d wrong, %v; want %d", n, err, want)
		}
	}
	c.wantHolding(t, a, change{images: 5, queued: 5})
	for _, f := range []image.Filter{{}, {Tag: "T"}} {
		if _, total, err := c.ListImages(t.Context(), a, f, image.Page{Number: 1, Size: 2}); total != 5 || err != nil {
			t.Errorf("%+v: total %d, %v", f, total, err)
		}
	}
}
