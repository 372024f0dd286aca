package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"

	"ingot/internal/image"
)

// wantPublication writes down what an image is to become when its import has ended.
func wantPublication(ctx context.Context, t *tx, id int64, in image.Create) error {
	p, source := in.Publish, sha256.Sum256([]byte(in.URL))
	if err := p.Validate(); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO publication (image_id, slug, kind, type, regions, source) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, p.Slug, p.Kind, p.Type, toJSON(p.Regions), source[:])
	return err
}

// publishAsWanted makes an image public that has become available in this transaction, if that was wanted. It takes
// the place of the image that has its slug, at one moment. A region that the service lost meanwhile is left out.
func publishAsWanted(ctx context.Context, t *tx, id int64) error {
	p := image.Publication{Replace: true}
	var regions string
	err := t.row(ctx, `SELECT slug, kind, type, regions FROM publication WHERE image_id = $1`, id).Scan(&p.Slug, &p.Kind, &p.Type, &regions)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.Regions, err = fromJSON(regions); err != nil {
		return err
	}
	r, err := getImage(ctx, t, id)
	if err != nil {
		return err
	}
	for _, region := range p.Regions {
		if err := bringTo(ctx, t, &r, region); err != nil && image.KindOf(err) != image.Invalid {
			return err
		}
	}
	_, err = reshelve(ctx, t, r, func(t *tx, r *record) error { return publish(ctx, t, r, p) })
	return err
}

// Published returns the image that was last imported to be published under a slug, whether or not that import has
// ended yet, and whether it was imported from this URL. One whose import failed, or that was deleted, is as none:
// image.ErrNotFound.
func (c *Catalog) Published(ctx context.Context, slug, url string) (m image.Image, same bool, err error) {
	err = c.read(ctx, func(t *tx) error {
		var id int64
		var source []byte
		err := t.row(ctx, `SELECT p.image_id, p.source FROM publication p JOIN image i ON i.id = p.image_id
			WHERE p.slug = $1 AND i.removed_at IS NULL AND i.status <> $2 ORDER BY p.image_id DESC LIMIT 1`, slug, image.Deleted).
			Scan(&id, &source)
		if err != nil {
			return err
		}
		sum := sha256.Sum256([]byte(url))
		same = bytes.Equal(source, sum[:])
		r, err := getImage(ctx, t, id)
		m = r.Image
		return err
	})
	return m, same, missing(err)
}
