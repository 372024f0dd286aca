package catalog

import (
	"context"
	"database/sql"
	"errors"

	"ingot/internal/image"
)

// MakePublic shows an available image to every account. A slug that another image has is an Invalid error, unless that
// image is retired: then the slug moves.
func (c *Catalog) MakePublic(ctx context.Context, id int64, p image.Publication) (image.Image, error) {
	return c.reshelve(ctx, id, func(t *tx, r *record) error {
		if r.Status != image.Available {
			return invalid("The image's status is %s; only an image that is %s can be published.", r.Status, image.Available)
		}
		if !image.IsSlug(p.Slug) {
			return invalid("The slug will not do: lower-case letters, digits, '-', '_' and '.' will, and not digits alone.")
		}
		if err := freeSlug(ctx, t, p.Slug, id); err != nil {
			return err
		}
		r.Public, r.Slug, r.Kind, r.Type = true, p.Slug, p.Kind, p.Type
		return nil
	})
}

// Retire takes a public image out of every list. It stays readable by id and by slug.
func (c *Catalog) Retire(ctx context.Context, id int64) (image.Image, error) {
	return c.reshelve(ctx, id, func(_ *tx, r *record) error {
		if !r.Public {
			return invalid("The image is not public; only public images can be retired.")
		}
		r.Status = image.Retired
		return nil
	})
}

// reshelve changes what decides in which lists an image stands.
func (c *Catalog) reshelve(ctx context.Context, id int64, edit func(*tx, *record) error) (image.Image, error) {
	var out image.Image
	err := c.write(ctx, func(t *tx) error {
		r, err := lockImage(ctx, t, id)
		if err != nil {
			return err
		}
		tags, err := r.tagIDs(ctx, t)
		if err != nil {
			return err
		}
		before := r.shelves(tags)
		if err := edit(t, &r); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE image SET public = $1, slug = $2, kind = $3, type = $4, status = $5 WHERE id = $6`,
			r.Public, sql.NullString{String: r.Slug, Valid: r.Slug != ""}, r.Kind, r.Type, r.Status, id)
		if err != nil {
			return err
		}
		out = r.Image
		return restock(ctx, t, id, before, r.shelves(tags))
	})
	return out, err
}

// lockImage returns an image and locks the account that owns it.
func lockImage(ctx context.Context, t *tx, id int64) (record, error) {
	r, err := getImage(ctx, t, id)
	if err != nil {
		return r, missing(err)
	}
	if _, err := lockAccount(ctx, t, r.AccountID); err != nil {
		return r, err
	}
	if r, err = getImage(ctx, t, id); err == nil && r.removed {
		return r, image.ErrNotFound
	}
	return r, missing(err)
}

func freeSlug(ctx context.Context, t *tx, slug string, taker int64) error {
	var holder int64
	var status image.Status
	err := t.row(ctx, `SELECT id, status FROM image WHERE slug = $1 {{for update}}`, slug).Scan(&holder, &status)
	switch {
	case errors.Is(err, sql.ErrNoRows) || holder == taker:
		return nil
	case err != nil:
		return err
	case status != image.Retired:
		return invalid("Image %d has the slug %s; retire it first, or choose another slug.", holder, slug)
	}
	_, err = t.exec(ctx, `UPDATE image SET slug = NULL WHERE id = $1`, holder)
	return err
}
