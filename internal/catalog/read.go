package catalog

import (
	"context"

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

// ImageBySlug returns the public image of that slug as everybody sees it, or image.ErrNotFound. Callers share what is
// returned and must not change it.
func (c *Catalog) ImageBySlug(ctx context.Context, slug string) (image.Image, error) {
	if !image.IsSlug(slug) {
		return image.Image{}, image.ErrNotFound
	}
	return remembered(ctx, c, func(k *cache) *recent[string, image.Image] { return k.slugs }, public, slug,
		func() (image.Image, error) { return c.readSlug(ctx, slug) })
}

func (c *Catalog) readSlug(ctx context.Context, slug string) (image.Image, error) {
	var out image.Image
	err := c.read(ctx, func(t *tx) error {
		r, err := scanImage(t.row(ctx, `SELECT `+imageColumns+` FROM image i WHERE i.slug = $1`, slug).Scan)
		if err != nil {
			return err
		}
		out, err = r.seenBy(0)
		return err
	})
	return out, missing(err)
}

// Content returns where an image's bytes are. An image that has none, yet or any more, is an Invalid error.
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
		out = image.Content{ImageID: id, Digest: r.Digest, GuestSize: r.GuestSize}
		var manifest int64
		err = t.row(ctx, `SELECT store_id, manifest_id FROM image_region WHERE image_id = $1 ORDER BY region LIMIT 1`, id).
			Scan(&out.StoreID, &manifest)
		if err != nil {
			return err
		}
		out.Object, err = manifestObject(ctx, t, manifest)
		return err
	})
	return out, missing(err)
}

// hasContent returns an Invalid error for an image that has none, yet or any more.
func (r record) hasContent() error {
	if r.Digest != "" {
		return nil
	}
	return invalid("The image has no content: its status is %s. It can be read when it is %s.", r.Status, image.Available)
}
