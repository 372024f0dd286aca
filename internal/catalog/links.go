package catalog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"ingot/internal/image"
)

// MakeLinkKey returns the key that signs links to an image that the account sees, and makes it the first time. An image
// that has no content is an Invalid error.
func (c *Catalog) MakeLinkKey(ctx context.Context, account, id int64) (image.LinkKey, error) {
	var out image.LinkKey
	err := c.writeAside(ctx, func(t *tx) error {
		r, err := lockImage(ctx, t, id) // a deletion, or another owner, comes before or after, never between
		if err != nil {
			return err
		}
		if _, err := r.seenBy(account); err != nil {
			return err
		}
		if err := r.hasContent(); err != nil {
			return err
		}
		key := make([]byte, sha256.Size)
		rand.Read(key)
		_, err = t.exec(ctx, `INSERT INTO link_key (image_id, key) VALUES ($1, $2) ON CONFLICT (image_id) DO NOTHING`, id, key)
		if err != nil {
			return err
		}
		out, err = linkKey(ctx, t, id)
		return err
	})
	return out, missing(err)
}

// LinkKey returns the key that signs links to an image; image.ErrNotFound where no link is good.
func (c *Catalog) LinkKey(ctx context.Context, id int64) (image.LinkKey, error) {
	var out image.LinkKey
	err := c.read(ctx, func(t *tx) (err error) {
		out, err = linkKey(ctx, t, id)
		return err
	})
	return out, missing(err)
}

func linkKey(ctx context.Context, t *tx, id int64) (k image.LinkKey, err error) {
	err = t.row(ctx, `SELECT i.account_id, k.key FROM link_key k JOIN image i ON i.id = k.image_id WHERE k.image_id = $1`, id).
		Scan(&k.Owner, &k.Key)
	return k, err
}
