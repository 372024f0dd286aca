package catalog

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"ingot/internal/image"
)

// errNoSnapshot has the text of the API that Ingot stands in for.
var errNoSnapshot = &image.Error{Kind: image.BadSyntax, Message: "the resource is not a snapshot"}

// OfferImage offers a snapshot of the account to another account, and returns the id under which that accepts. Whether
// there is such an account is not said. Where the two accounts have one e-mail address, and so one user, the image
// changes hands at once and the id is 0.
func (c *Catalog) OfferImage(ctx context.Context, account, id int64, o image.Offer) (transfer int64, err error) {
	err = c.write(ctx, func(t *tx) error {
		transfer = 0
		sender, err := accountByID(ctx, t, account)
		if err != nil {
			return missing(err)
		}
		recipient, err := scanAccount(t.row(ctx, selectAccount+`WHERE a.uuid = $1`, o.RecipientUUID).Scan)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		h, err := lockBoth(ctx, t, account, recipient.ID)
		if err != nil {
			return err
		}
		r, err := offerable(ctx, t, account, id)
		if err != nil {
			return err
		}
		if recipient.ID == account {
			return invalid("recipient_uuid is the account that has the image already.")
		}
		if recipient.ID != 0 && sender.Email != "" && strings.EqualFold(sender.Email, recipient.Email) {
			return handOver(ctx, t, r, recipient.ID, h)
		}
		return t.row(ctx, `INSERT INTO transfer (image_id, sender_id, recipient_email, recipient_uuid, state, created_at)
			VALUES ($1, $2, $3, $4, 'pending', {{now}}) RETURNING id`, id, account, o.RecipientEmail, o.RecipientUUID).Scan(&transfer)
	})
	return transfer, err
}

// offerable returns an image of the account that may change hands.
func offerable(ctx context.Context, t *tx, account, id int64) (record, error) {
	r, err := ownImage(ctx, t, account, id)
	if err != nil {
		return r, err
	}
	var pending int64
	err = t.row(ctx, `SELECT id FROM transfer WHERE image_id = $1 AND state = 'pending'`, id).Scan(&pending)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return r, err
	}
	switch {
	case r.removed:
		return r, image.ErrNotFound
	case r.Type != image.Snapshot:
		return r, errNoSnapshot
	case r.Public || r.Status != image.Available:
		return r, invalid("The image is public or not %s; only a private image that is %s can be handed over.", image.Available, image.Available)
	case pending != 0:
		return r, invalid("The image is offered already, by the transfer %d; cancel that first.", pending)
	}
	return r, nil
}

// lockBoth locks two accounts, always in the same order, and returns what the second holds; 0 is none.
func lockBoth(ctx context.Context, t *tx, sender, recipient int64) (h holding, err error) {
	if recipient != 0 && recipient < sender {
		if h, err = lockAccount(ctx, t, recipient); err != nil {
			return h, err
		}
	}
	if _, err = lockAccount(ctx, t, sender); err != nil || recipient == 0 || recipient < sender {
		return h, err
	}
	return lockAccount(ctx, t, recipient)
}

// handOver makes an image another account's. What was its former owner's stays with that: the tags, the actions, and
// the idempotency keys, which would show him the image again. Signed links end for good: with the key kept, they would be
// valid again if the image came back. Both accounts are locked; to holds h.
func handOver(ctx context.Context, t *tx, r record, to int64, h holding) error {
	if h.max.Images > 0 && h.images >= h.max.Images || h.max.Bytes > 0 && h.bytes+r.DataSize > h.max.Bytes {
		return invalid("The account that is to have the image may not hold that much; delete an image of it first, or ask for a larger quota.")
	}
	if err := notReplicating(ctx, t, r.ID); err != nil {
		return err
	}
	tags, err := r.tagIDs(ctx, t)
	if err != nil {
		return err
	}
	before, from := r.shelves(tags), r.AccountID
	r.AccountID = to
	for _, statement := range []string{
		`UPDATE image SET account_id = $2, tags = '[]' WHERE id = $1`,
		`UPDATE import SET account_id = $2 WHERE image_id = $1`,
		`DELETE FROM idempotency WHERE image_id = $1 AND account_id <> $2`,
	} {
		if _, err := t.exec(ctx, statement, r.ID, to); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, `DELETE FROM link_key WHERE image_id = $1`, r.ID); err != nil {
		return err
	}
	if err := restock(ctx, t, r.ID, before, r.shelves(nil)); err != nil {
		return err
	}
	if err := (change{images: -1, bytes: -r.DataSize}).apply(ctx, t, from); err != nil {
		return err
	}
	return change{images: 1, bytes: r.DataSize}.apply(ctx, t, to)
}

// offer is a transfer that waits for its recipient.
type offer struct {
	id, sender  int64
	email, uuid string
}

func pendingOffer(ctx context.Context, t *tx, id, transfer int64) (o offer, err error) {
	err = t.row(ctx, `SELECT id, sender_id, recipient_email, recipient_uuid FROM transfer
		WHERE id = $1 AND image_id = $2 AND state = 'pending' {{for update}}`, transfer, id).Scan(&o.id, &o.sender, &o.email, &o.uuid)
	return o, missing(err)
}

// isTo returns image.ErrNotFound unless the offer is to this account.
func (o offer) isTo(a image.Account) error {
	if o.uuid == a.UUID || o.email != "" && strings.EqualFold(o.email, a.Email) {
		return nil
	}
	return image.ErrNotFound
}

func (o offer) settle(ctx context.Context, t *tx, state string) error {
	_, err := t.exec(ctx, `UPDATE transfer SET state = $2 WHERE id = $1`, o.id, state)
	return err
}

// AcceptImage makes an image the account's that was offered to it. uuid must be the account's own.
func (c *Catalog) AcceptImage(ctx context.Context, account, id, transfer int64, uuid string) error {
	return c.write(ctx, func(t *tx) error {
		a, err := accountByID(ctx, t, account)
		if err != nil {
			return missing(err)
		}
		var sender int64
		err = t.row(ctx, `SELECT sender_id FROM transfer WHERE id = $1 AND image_id = $2`, transfer, id).Scan(&sender)
		if err != nil {
			return missing(err)
		}
		h, err := lockBoth(ctx, t, sender, account)
		if err != nil {
			return err
		}
		o, err := pendingOffer(ctx, t, id, transfer)
		if err == nil {
			err = o.isTo(a)
		}
		if err != nil {
			return err
		}
		if !strings.EqualFold(uuid, a.UUID) {
			return invalid("recipient_uuid must be the UUID of the account whose token this is.")
		}
		r, err := getImage(ctx, t, id)
		if err != nil {
			return err
		}
		if r.Public || r.AccountID != sender || sender == account {
			return invalid("The image cannot change hands any more: it was published, or is the account's own.")
		}
		if err := o.settle(ctx, t, "accepted"); err != nil {
			return err
		}
		return handOver(ctx, t, r, account, h)
	})
}

// CancelOffer takes back an offer of the account's own.
func (c *Catalog) CancelOffer(ctx context.Context, account, id, transfer int64) error {
	return c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		o, err := pendingOffer(ctx, t, id, transfer)
		if err != nil {
			return err
		}
		if o.sender != account {
			return image.ErrNotFound
		}
		return o.settle(ctx, t, "cancelled")
	})
}

// DeclineOffer refuses an offer that was made to the account.
func (c *Catalog) DeclineOffer(ctx context.Context, account, id, transfer int64) error {
	return c.write(ctx, func(t *tx) error {
		a, err := accountByID(ctx, t, account)
		if err != nil {
			return missing(err)
		}
		o, err := pendingOffer(ctx, t, id, transfer)
		if err == nil {
			err = o.isTo(a)
		}
		if err != nil {
			return err
		}
		return o.settle(ctx, t, "declined")
	})
}
