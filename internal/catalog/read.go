package catalog

import (
	"cmp"
	"context"
	"database/sql"

	"ingot/internal/image"
)

// Image returns one image as the account sees it: its own, a failed import included, and public ones. All others are
// image.ErrNotFound. Callers share what is returned and must not change it.
func (c *Catalog) Image(ctx context.Context, account, id int64) (image.Image, error) {
	return remembered(ctx, c, func(k *cache) *recent[imageKey, image.Image] { return k.images }, scope(account),
		imageKey{account, id}, func() (image.Image, error) { return c.readImage(ctx, account, id) })
}

func (c *Catalog) readImage(ctx context.Context, account, id int64) (image.Image, error) {
	var out image.Image
	err := c.read(ctx, func(t *tx) error {
		r, err := getImage(ctx, t, id)
		if err != nil {
			return err
		}
		out, err = r.seenBy(account)
		return err
	})
	return out, missing(err)
}

// ImageBySlug returns the public image of that slug as the account sees it, or image.ErrNotFound. Callers share what is
// returned and must not change it.
func (c *Catalog) ImageBySlug(ctx context.Context, account int64, slug string) (image.Image, error) {
	if !image.IsSlug(slug) {
		return image.Image{}, image.ErrNotFound
	}
	r, err := remembered(ctx, c, func(k *cache) *recent[string, record] { return k.slugs }, public, slug,
		func() (record, error) { return c.readSlug(ctx, slug) })
	if err != nil {
		return image.Image{}, err
	}
	return r.seenBy(account)
}

func (c *Catalog) readSlug(ctx context.Context, slug string) (r record, err error) {
	err = c.read(ctx, func(t *tx) error {
		r, err = scanImage(t.row(ctx, `SELECT `+imageColumns+` FROM image i WHERE i.slug = $1`, slug).Scan)
		return err
	})
	return r, missing(err)
}

// Content returns where an image's bytes are, in the order of its regions' names. An image that has none, yet or any more, is an Invalid error.
func (c *Catalog) Content(ctx context.Context, account, id int64) (image.Content, error) {
	var out image.Content
	err := c.read(ctx, func(t *tx) error {
		r, err := getImage(ctx, t, id)
		if err != nil {
			return err
		}
		if _, err := r.seenBy(account); err != nil {
			return err
		}
		if err := r.hasContent(); err != nil {
			return err
		}
		out, err = contentOf(ctx, t, r)
		return err
	})
	return out, missing(err)
}

// contentOf returns where the bytes of an image with content are, but for the stores in which a check found it damaged.
func contentOf(ctx context.Context, t *tx, r record) (image.Content, error) {
	out := image.Content{ImageID: r.ID, Digest: r.Digest, GuestSize: r.GuestSize}
	var places []image.Place
	err := t.each(ctx, `SELECT r.store_id, o.name FROM image_region r JOIN manifest m ON m.id = r.manifest_id
		JOIN object o ON o.id = m.object_id WHERE r.image_id = $1 AND NOT m.damaged GROUP BY r.store_id, o.name ORDER BY min(r.region)`,
		[]any{r.ID}, func(rows *sql.Rows) error {
			var p image.Place
			err := rows.Scan(&p.StoreID, &p.Object)
			places = append(places, p)
			return err
		})
	if err == nil && len(places) == 0 {
		err = invalid("%s", cmp.Or(r.ErrorMessage, damagedMessage))
	}
	if err != nil {
		return out, err
	}
	out.Place, out.Others = places[0], places[1:]
	return out, nil
}

// hasContent returns an Invalid error for an image that has none, yet or any more.
func (r record) hasContent() error {
	if r.Digest != "" {
		return nil
	}
	return invalid("The image has no content: its status is %s. It can be read when it is %s.", r.Status, image.Available)
}
