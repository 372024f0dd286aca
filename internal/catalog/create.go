package catalog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"net/url"
	"strings"

	"ingot/internal/image"
)

// CreateImage makes an image and queues its import, in one transaction. A quota that is used up, a region that is
// unknown and an idempotency key that came with another body before are Invalid errors.
func (c *Catalog) CreateImage(ctx context.Context, account int64, in image.Create, key image.IdempotencyKey) (image.Image, error) {
	var out image.Image
	err := c.write(ctx, func(t *tx) error {
		t.only(scope(account))
		h, err := lockAccount(ctx, t, account)
		if err != nil {
			return err
		}
		id, err := repeated(ctx, t, account, key)
		if err != nil {
			return err
		}
		if id == 0 {
			uploaded, err := useUpload(ctx, t, account, in.URL)
			if err != nil {
				return err
			}
			h.bytes -= uploaded // what it takes is given back when the image is there
			if err := h.admit(); err != nil {
				return err
			}
			if id, err = create(ctx, t, account, in); err != nil {
				return err
			}
			if err := remember(ctx, t, account, key, id); err != nil {
				return err
			}
		}
		r, err := getImage(ctx, t, id)
		out = r.Image
		return err
	})
	return out, err
}

// admit returns an Invalid error if the account may not have one more image.
func (h holding) admit() error {
	switch {
	case h.max.Images > 0 && h.images >= h.max.Images:
		return invalid("The account holds %d images and may hold no more; delete one first, or ask for a larger quota.", h.images)
	case h.max.Bytes > 0 && h.bytes >= h.max.Bytes:
		return invalid("The account's images hold %d bytes of data and may hold at most %d; delete one first, or ask for a larger quota.", h.bytes, h.max.Bytes)
	case h.max.Imports > 0 && h.queued+h.running >= h.max.Imports:
		return invalid("The account imports %d images at the moment and may not import more at once; try again when one has finished.", h.queued+h.running)
	}
	return nil
}

func create(ctx context.Context, t *tx, account int64, in image.Create) (int64, error) {
	if _, err := regionStore(ctx, t, in.Region); errors.Is(err, sql.ErrNoRows) {
		return 0, invalid("region is none of this service's regions.")
	} else if err != nil {
		return 0, err
	}
	tags, tagIDs, err := ensureTags(ctx, t, account, in.Tags)
	if err != nil {
		return 0, err
	}
	r := record{Image: image.Image{AccountID: account, Status: image.New}}
	err = t.row(ctx, `INSERT INTO image (account_id, name, type, distribution, description, kind, public, status,
			error_message, regions, tags, guest_size, data_size, digest, created_at)
		VALUES ($1, $2, $3, $4, $5, '', FALSE, $6, '', '[]', $7, 0, 0, '', {{now}}) RETURNING id`,
		account, in.Name, cmp.Or(in.Type, image.Custom), in.Distribution, in.Description, r.Status, toJSON(tags)).Scan(&r.ID)
	if err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, `INSERT INTO import (image_id, account_id, region, state, url, source, created_at, updated_at)
		VALUES ($1, $2, $3, 'queued', $4, $5, {{now}}, {{now}})`, r.ID, account, in.Region, in.URL, redact(in.URL))
	if err != nil {
		return 0, err
	}
	if err := restock(ctx, t, r.ID, nil, r.shelves(tagIDs)); err != nil {
		return 0, err
	}
	if in.Publish != nil {
		if err := wantPublication(ctx, t, r.ID, in); err != nil {
			return 0, err
		}
	}
	return r.ID, change{images: 1, queued: 1}.apply(ctx, t, account)
}

// repeated returns the image that a request with this key made before, or 0.
func repeated(ctx context.Context, t *tx, account int64, key image.IdempotencyKey) (id int64, err error) {
	if key.Key == "" {
		return 0, nil
	}
	_, err = t.exec(ctx, `DELETE FROM idempotency WHERE account_id = $1 AND created_at < {{now}} - $2`,
		account, image.IdempotencyTime.Milliseconds())
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256([]byte(key.Key))
	var body []byte
	err = t.row(ctx, `SELECT body_hash, image_id FROM idempotency WHERE account_id = $1 AND key = $2`,
		account, sum[:]).Scan(&body, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err == nil && !bytes.Equal(body, key.BodyHash[:]) {
		return 0, invalid("The Idempotency-Key was used with another body within the last 24 hours; send a new key.")
	}
	return id, err
}

func remember(ctx context.Context, t *tx, account int64, key image.IdempotencyKey, id int64) error {
	if key.Key == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(key.Key))
	_, err := t.exec(ctx, `INSERT INTO idempotency (account_id, key, body_hash, image_id, created_at)
		VALUES ($1, $2, $3, $4, {{now}})`, account, sum[:], key.BodyHash[:], id)
	return err
}

// redact returns a URL without what may be secret in it: user, password, query and fragment, and a path that may hold
// another URL.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	if strings.Contains(u.Path, "@") {
		u.Path = "/..."
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
