package catalog

import (
	"testing"

	"ingot/internal/image"
)

func testUploads(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{Bytes: 5000}), c.account(t, "b", image.Quota{})
	const one, two = "11111111111111111111111111111111", "22222222222222222222222222222222"
	made, err := c.AddUpload(ctx, a, one, 4000)
	if err != nil || made.ID != one || made.ExpiresAt.IsZero() {
		t.Fatal(made, err)
	}
	c.wantHolding(t, a, change{bytes: 4000})
	_, err = c.AddUpload(ctx, a, two, 1001)
	wantInvalid(t, "more than the quota", err, "may hold at most 5000")
	_, err = c.Upload(ctx, b, one)
	wantErr(t, "another account's upload", err, image.ErrNotFound)

	in := request("from an upload")
	in.URL = "upload:" + one
	_, err = c.CreateImage(ctx, a, in, image.IdempotencyKey{})
	wantInvalid(t, "before its end", err, "not complete")
	if _, err := c.KeepUpload(ctx, one, true); err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateImage(ctx, b, in, image.IdempotencyKey{})
	wantInvalid(t, "from another account", err, "no upload of this account")
	if _, err = c.CreateImage(ctx, a, in, image.IdempotencyKey{}); err != nil {
		t.Fatal(err)
	}
	c.publish(t, c.claim(t), 4500) // more than the upload took; without it, within the quota
	c.wantHolding(t, a, change{images: 1, bytes: 4500})
	_, err = c.Upload(ctx, a, one)
	wantErr(t, "an upload that is an image", err, image.ErrNotFound)
	_, err = c.CreateImage(ctx, a, in, image.IdempotencyKey{})
	wantInvalid(t, "again", err, "has been imported")

	if _, err := c.AddUpload(ctx, b, two, 10); err != nil {
		t.Fatal(err)
	}
	if err := c.EndExpiredUploads(ctx); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, b, change{bytes: 10})
	c.do(t, `UPDATE upload SET expires_at = {{now}} - 1 WHERE id = $1`, two)
	_, err = c.Upload(ctx, b, two)
	wantErr(t, "an expired upload", err, image.ErrNotFound)
	if err := c.EndExpiredUploads(ctx); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, b, change{})
	if err := c.EndUpload(ctx, b, two); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, b, change{}) // nothing is given back twice
	for _, id := range []string{one, two} {
		dead, err := c.DeadUploads(ctx)
		if err != nil || len(dead) == 0 {
			t.Fatal(dead, err)
		}
		if err := c.ForgetUpload(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if dead, err := c.DeadUploads(ctx); len(dead) != 0 || err != nil {
		t.Errorf("%v %v", dead, err)
	}
}

// An import can wait for its turn for longer than an upload is kept.
func testUploadsOfImportsThatWait(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	const id = "11111111111111111111111111111111"
	if _, err := c.AddUpload(ctx, a, id, 4000); err != nil {
		t.Fatal(err)
	}
	if _, err := c.KeepUpload(ctx, id, true); err != nil {
		t.Fatal(err)
	}
	in := request("from an upload")
	in.URL = "Upload:" + id + "#sha256=00"
	if _, err := c.CreateImage(ctx, a, in, image.IdempotencyKey{}); err != nil {
		t.Fatal(err)
	}
	c.do(t, `UPDATE upload SET expires_at = {{now}} - 1`)
	wantThere := func(what string, want error) {
		t.Helper()
		if err := c.EndExpiredUploads(ctx); err != nil {
			t.Fatal(err)
		}
		_, err := c.Upload(ctx, a, id)
		wantErr(t, what, err, want)
	}
	wantThere("an upload whose import waits", nil)
	claim := c.claim(t)
	wantThere("an upload that is imported", nil)
	if err := c.Fail(ctx, claim, "bad_image", "It is no image."); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, a, change{bytes: 4000})
	wantThere("an upload whose import has failed", image.ErrNotFound)
	c.wantHolding(t, a, change{})
}

// An upload that is used between being found expired and being ended is kept.
func testUploadsThatAreUsedInTime(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	const id = "11111111111111111111111111111111"
	if _, err := c.AddUpload(ctx, a, id, 4000); err != nil {
		t.Fatal(err)
	}
	if err := c.endUploadIf(ctx, a, id, expired); err != nil {
		t.Fatal(err)
	}
	_, err := c.Upload(ctx, a, id)
	wantErr(t, "an upload that was used in time", err, nil)
	c.wantHolding(t, a, change{bytes: 4000})
}
