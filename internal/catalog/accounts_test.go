package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

func testAccounts(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, err := c.CreateAccount(ctx, image.Account{Name: "a", Email: "a@example.com", Quota: image.Quota{Images: 1, Bytes: 2, Imports: 3}})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.UUID) != 36 || a.ID == 0 || a.CreatedAt.IsZero() || a.CreatedAt.Location() != time.UTC {
		t.Errorf("account %+v", a)
	}
	if _, err := c.CreateAccount(ctx, image.Account{Name: "a"}); image.KindOf(err) != image.Invalid {
		t.Errorf("a second account of the name: %v", err)
	}
	b, err := c.CreateAccount(ctx, image.Account{Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Accounts(ctx)
	if diff := cmp.Diff([]image.Account{a, b}, all); diff != "" || err != nil {
		t.Errorf("Accounts: %v\n%s", err, diff)
	}
	got, err := c.Account(ctx, a.ID)
	if diff := cmp.Diff(a, got); diff != "" || err != nil {
		t.Errorf("Account: %v\n%s", err, diff)
	}
	_, err = c.Account(ctx, 77)
	wantErr(t, "an unknown account", err, image.ErrNotFound)
}

func testTokens(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	make := func(hash byte, expires time.Time) image.Token {
		tok, err := c.CreateToken(ctx, image.Token{AccountID: a, Name: "n", Scopes: []string{"image:read", "tag:read"}, ExpiresAt: expires}, [32]byte{hash})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	good := make(1, time.Time{})
	later := make(2, time.Now().Add(time.Hour).Truncate(time.Second).UTC())
	over := make(3, time.Now().Add(-time.Hour))
	for hash, want := range map[byte]image.Token{1: good, 2: later} {
		got, err := c.Authenticate(ctx, [32]byte{hash})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Authenticate %d: %v\n%s", hash, err, diff)
		}
	}
	for _, hash := range []byte{3, 4} {
		_, err := c.Authenticate(ctx, [32]byte{hash})
		wantErr(t, "an expired or unknown token", err, image.ErrNotFound)
	}
	wantErr(t, "another account's token", c.RevokeToken(ctx, b, good.ID), image.ErrNotFound)
	for range 2 {
		if err := c.RevokeToken(ctx, a, good.ID); err != nil {
			t.Error(err)
		}
	}
	_, err := c.Authenticate(ctx, [32]byte{1})
	wantErr(t, "a revoked token", err, image.ErrNotFound)
	good.Revoked = true
	all, err := c.Tokens(ctx, a)
	if diff := cmp.Diff([]int64{good.ID, later.ID, over.ID}, idsOf(all, func(t image.Token) int64 { return t.ID })); diff != "" || err != nil {
		t.Errorf("Tokens: %v\n%s", err, diff)
	}
	if diff := cmp.Diff(good, all[0]); diff != "" {
		t.Error(diff)
	}
}

func idsOf[T any](all []T, id func(T) int64) []int64 {
	out := []int64{}
	for _, x := range all {
		out = append(out, id(x))
	}
	return out
}

func testRegions(t *testing.T, c *Catalog) {
	ctx := t.Context()
	first, err := c.SetRegions(ctx, map[string]string{"nyc3": "file:a", "fra1": "file:a", "lon1": "file:b"})
	if err != nil {
		t.Fatal(err)
	}
	if first["nyc3"] != first["fra1"] || first["nyc3"] == first["lon1"] || len(first) != 3 {
		t.Errorf("stores %v", first)
	}
	again, err := c.SetRegions(ctx, map[string]string{"nyc3": "file:a", "lon1": "file:b"})
	if diff := cmp.Diff(map[string]int64{"nyc3": first["nyc3"], "lon1": first["lon1"]}, again); diff != "" || err != nil {
		t.Errorf("again: %v\n%s", err, diff)
	}
	a := c.account(t, "a", image.Quota{})
	in := request("x")
	in.Region = "fra1"
	_, err = c.CreateImage(ctx, a, in, image.IdempotencyKey{})
	wantInvalid(t, "a region that is no more", err, "region")

	c.create(t, a, "x")
	claim := c.claim(t)
	moved := map[string]string{"nyc3": "file:c", "lon1": "file:c"}
	wantMoved := func(when string) {
		t.Helper()
		if _, err := c.SetRegions(ctx, moved); err == nil || !strings.Contains(err.Error(), "nyc3 has images in the store file:a") {
			t.Errorf("%s: %v", when, err)
		}
	}
	wantMoved("while an import runs")
	c.publish(t, claim, 1)
	wantMoved("with an image")
	if err := c.DeleteImage(ctx, a, claim.ImageID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetRegions(ctx, moved); err != nil {
		t.Errorf("empty: %v", err)
	}
}
