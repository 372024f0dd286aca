package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"ingot/internal/image"
)

// MakePublic shows an available image to every account; one that was retired comes back. A slug that another image has
// is an Invalid error, unless that image is retired or is to be replaced: then the slug moves.
func (c *Catalog) MakePublic(ctx context.Context, id int64, p image.Publication) (image.Image, error) {
	if err := p.Validate(); err != nil {
		return image.Image{}, err
	}
	return c.reshelve(ctx, id, func(t *tx, r *record) error {
		for _, region := range p.Regions {
			if slices.Contains(r.Regions, region) {
				continue
			}
			if err := bringTo(ctx, t, r, region); err != nil {
				return err
			}
		}
		return publish(ctx, t, r, p)
	})
}

// bringTo puts an image into one more region: at once, or by a transfer, which its account then has among its actions.
func bringTo(ctx context.Context, t *tx, r *record, region string) error {
	store, err := regionFor(ctx, t, *r, region)
	if err != nil {
		return err
	}
	there, err := addRegion(ctx, t, r, region, store)
	if err != nil || there {
		return err
	}
	onItsWay, err := replicationTo(ctx, t, r.ID, region)
	if err == nil && onItsWay == 0 {
		_, err = replicate(ctx, t, *r, region, store)
	}
	return err
}

// publish changes the record to that of a public image.
func publish(ctx context.Context, t *tx, r *record, p image.Publication) error {
	if r.Status != image.Available && r.Status != image.Retired {
		return invalid("The image's status is %s; only an image that is %s can be published.", r.Status, image.Available)
	}
	if r.ErrorMessage != "" {
		return invalid("The image's content is damaged; it can be published when it is restored.")
	}
	if err := takeSlug(ctx, t, p.Slug, r.ID, p.Replace); err != nil {
		return err
	}
	r.Public, r.Slug, r.Kind, r.Type, r.Status = true, p.Slug, p.Kind, p.Type, image.Available
	r.Name, r.Distribution = cmp.Or(p.Name, r.Name), cmp.Or(p.Distribution, r.Distribution)
	return nil
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
		r, err = reshelve(ctx, t, r, edit)
		out = r.Image
		return err
	})
	return out, err
}

// reshelve does it in a transaction that has the image's account locked.
func reshelve(ctx context.Context, t *tx, r record, edit func(*tx, *record) error) (record, error) {
	tags, err := r.tagIDs(ctx, t)
	if err != nil {
		return r, err
	}
	before := r.shelves(tags)
	if err := edit(t, &r); err != nil {
		return r, err
	}
	_, err = t.exec(ctx, `UPDATE image SET public = $1, slug = $2, kind = $3, type = $4, status = $5, name = $6, distribution = $7
		WHERE id = $8`, r.Public, sql.NullString{String: r.Slug, Valid: r.Slug != ""}, r.Kind, r.Type, r.Status, r.Name,
		r.Distribution, r.ID)
	if err != nil {
		return r, err
	}
	return r, restock(ctx, t, r.ID, before, r.shelves(tags))
}

// lockImage returns an image and locks the account that owns it. The image may change hands while the lock is waited for;
// then its new owner is locked too. Two who come to lock each other's so are a deadlock, after which one begins again.
func lockImage(ctx context.Context, t *tx, id int64) (record, error) {
	r, err := getImage(ctx, t, id)
	for err == nil {
		locked := r.AccountID
		if _, err := lockAccount(ctx, t, locked); err != nil {
			return r, err
		}
		if r, err = getImage(ctx, t, id); err == nil && r.AccountID == locked {
			break
		}
	}
	if err == nil && r.removed {
		return r, image.ErrNotFound
	}
	return r, missing(err)
}

// takeSlug takes a slug from the image that has it.
func takeSlug(ctx context.Context, t *tx, slug string, taker int64, replace bool) error {
	var holder int64
	err := t.row(ctx, `SELECT id FROM image WHERE slug = $1`, slug).Scan(&holder)
	if errors.Is(err, sql.ErrNoRows) || holder == taker {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := lockImage(ctx, t, holder)
	if errors.Is(err, image.ErrNotFound) || err == nil && r.Slug != slug {
		return nil // it let go of it at this moment
	}
	if err != nil {
		return err
	}
	if r.Status != image.Retired && !replace {
		return invalid("Image %d has the slug %s; retire it first, replace it, or choose another slug.", holder, slug)
	}
	_, err = reshelve(ctx, t, r, func(_ *tx, r *record) error {
		r.Status, r.Slug = image.Retired, ""
		return nil
	})
	return err
}
