package catalog

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

// snapshot makes an available snapshot of 1000 bytes, asked for under an idempotency key.
func (c *Catalog) snapshot(t testing.TB, account int64, name string, tags ...string) image.Image {
	t.Helper()
	in := request(name, tags...)
	in.Type = image.Snapshot
	m, err := c.CreateImage(t.Context(), account, in, image.IdempotencyKey{Key: name, BodyHash: sha256.Sum256([]byte(name))})
	if err != nil {
		t.Fatal(err)
	}
	c.publish(t, c.claim(t), 1000)
	return c.image(t, account, m.ID)
}

func testOffers(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b, other := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{}), c.account(t, "other", image.Quota{})
	uuid := func(id int64) string {
		account, err := c.Account(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return account.UUID
	}
	m := c.snapshot(t, a, "x", "mine")
	toB := image.Offer{RecipientEmail: "b@example.com"}

	first, err := c.OfferImage(ctx, a, m.ID, toB)
	if err != nil || first == 0 {
		t.Fatalf("transfer %d, %v", first, err)
	}
	_, err = c.OfferImage(ctx, a, m.ID, toB)
	wantInvalid(t, "a second offer", err, "offered already")
	wantErr(t, "who is not asked", c.AcceptImage(ctx, other, m.ID, first, uuid(other)), image.ErrNotFound)
	wantErr(t, "who is not asked", c.DeclineOffer(ctx, other, m.ID, first), image.ErrNotFound)
	wantErr(t, "who is asked", c.CancelOffer(ctx, b, m.ID, first), image.ErrNotFound)
	wantErr(t, "the sender", c.AcceptImage(ctx, a, m.ID, first, uuid(a)), image.ErrNotFound)
	wantInvalid(t, "for another account", c.AcceptImage(ctx, b, m.ID, first, uuid(other)), "recipient_uuid")
	if err := c.DeclineOffer(ctx, b, m.ID, first); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "after it declined", c.AcceptImage(ctx, b, m.ID, first, uuid(b)), image.ErrNotFound)

	second, err := c.OfferImage(ctx, a, m.ID, image.Offer{RecipientUUID: uuid(b)})
	if err != nil || second <= first {
		t.Fatalf("transfer %d, %v", second, err)
	}
	if err := c.CancelOffer(ctx, a, m.ID, second); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "after it was cancelled", c.AcceptImage(ctx, b, m.ID, second, uuid(b)), image.ErrNotFound)

	third, err := c.OfferImage(ctx, a, m.ID, toB)
	if err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, a, change{images: 1, bytes: 1000})
	if err := c.AcceptImage(ctx, b, m.ID, third, uuid(b)); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, a, change{})
	c.wantHolding(t, b, change{images: 1, bytes: 1000})
	_, err = c.Image(ctx, a, m.ID)
	wantErr(t, "its former owner", err, image.ErrNotFound)
	want := m
	want.AccountID, want.Tags = b, []string{}
	if diff := cmp.Diff(want, c.image(t, b, m.ID)); diff != "" {
		t.Error(diff)
	}
	// The former owner's key must not show him what is another's now.
	in := request("x")
	again, err := c.CreateImage(ctx, a, in, image.IdempotencyKey{Key: "x", BodyHash: sha256.Sum256([]byte("x"))})
	if err != nil || again.ID == m.ID {
		t.Errorf("his key answers image %d, %v", again.ID, err)
	}
	if err := c.DeleteImage(ctx, b, m.ID); err != nil {
		t.Error(err)
	}
	c.wantHolding(t, b, change{})
}

// A link that ended when its image changed hands is not valid again when the image comes back.
func testOffersAndLinks(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	m := c.snapshot(t, a, "x")
	key, err := c.MakeLinkKey(ctx, a, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	give := func(from, to int64) {
		t.Helper()
		recipient, err := c.Account(ctx, to)
		if err != nil {
			t.Fatal(err)
		}
		id, err := c.OfferImage(ctx, from, m.ID, image.Offer{RecipientUUID: recipient.UUID})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AcceptImage(ctx, to, m.ID, id, recipient.UUID); err != nil {
			t.Fatal(err)
		}
	}
	give(a, b)
	_, err = c.LinkKey(ctx, m.ID)
	wantErr(t, "the key after the image changed hands", err, image.ErrNotFound)
	_, err = c.MakeLinkKey(ctx, a, m.ID)
	wantErr(t, "a link by its former owner", err, image.ErrNotFound)
	give(b, a)
	if again, err := c.MakeLinkKey(ctx, a, m.ID); err != nil || cmp.Equal(key.Key, again.Key) {
		t.Errorf("the former key is valid again: %v", err)
	}
}

func testOffersRefused(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, full := c.account(t, "a", image.Quota{}), c.account(t, "full", image.Quota{Bytes: 999})
	custom := c.available(t, a, "custom")
	_, err := c.OfferImage(ctx, a, custom.ID, image.Offer{RecipientEmail: "full@example.com"})
	if image.KindOf(err) != image.BadSyntax || err.Error() != "the resource is not a snapshot" {
		t.Errorf("a custom image: %v", err)
	}
	m := c.snapshot(t, a, "x")
	_, err = c.OfferImage(ctx, full, m.ID, image.Offer{RecipientEmail: "full@example.com"})
	wantErr(t, "another's image", err, image.ErrNotFound)
	holder, err := c.Account(ctx, full)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := c.Account(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.OfferImage(ctx, a, m.ID, image.Offer{RecipientUUID: sender.UUID})
	wantInvalid(t, "to itself", err, "already")
	id, err := c.OfferImage(ctx, a, m.ID, image.Offer{RecipientUUID: holder.UUID})
	if err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, "an account that is full", c.AcceptImage(ctx, full, m.ID, id, holder.UUID), "may not hold")
	c.wantHolding(t, full, change{})
	if err := c.DeleteImage(ctx, a, m.ID); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a deleted image", c.AcceptImage(ctx, full, m.ID, id, holder.UUID), image.ErrNotFound)

	// The same user has both accounts, by the address.
	twin, err := c.CreateAccount(ctx, image.Account{Name: "twin", Email: "A@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	m = c.snapshot(t, a, "y")
	if id, err = c.OfferImage(ctx, a, m.ID, image.Offer{RecipientUUID: twin.UUID}); id != 0 || err != nil {
		t.Errorf("to the same user: transfer %d, %v", id, err)
	}
	c.wantHolding(t, twin.ID, change{images: 1, bytes: 1000})
	c.image(t, twin.ID, m.ID)
}
