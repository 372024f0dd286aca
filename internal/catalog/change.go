package catalog

import (
	"context"
	"database/sql"
	"errors"

	"ingot/internal/image"
)

// ownImage returns an image that the account may change: image.ErrForbidden for another's public image, and
// image.ErrNotFound for what the account cannot see. The account must be locked. An image that its owner deleted is
// returned as well.
func ownImage(ctx context.Context, t *tx, account, id int64) (record, error) {
	r, err := getImage(ctx, t, id)
	if err != nil {
		return r, missing(err)
	}
	if r.AccountID == account {
		return r, nil
	}
	if _, err := r.seenBy(account); err != nil {
		return r, err
	}
	return r, image.ErrForbidden
}

// UpdateImage changes what u names. The description and the distribution of images that are not custom stay as they
// are.
func (c *Catalog) UpdateImage(ctx context.Context, account, id int64, u image.Update) (image.Image, error) {
	var out image.Image
	err := c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		r, err := ownImage(ctx, t, account, id)
		if err != nil {
			return err
		}
		if r.removed {
			return image.ErrNotFound
		}
		if !r.Public {
			t.only(scope(account))
		}
		if u.Name != nil {
			r.Name = *u.Name
		}
		if u.Distribution != nil && r.Type == image.Custom {
			r.Distribution = *u.Distribution
		}
		if u.Description != nil && r.Type == image.Custom {
			r.Description = *u.Description
		}
		out = r.Image
		_, err = t.exec(ctx, `UPDATE image SET name = $1, distribution = $2, description = $3 WHERE id = $4`,
			r.Name, r.Distribution, r.Description, id)
		return err
	})
	return out, err
}

// DeleteImage deletes an image of the account in every state. An import or a transfer that is running loses its lease at this
// moment and can write nothing more; what it pinned and what the image held is free for the sweep. A second time it is
// image.ErrAlreadyDeleted.
func (c *Catalog) DeleteImage(ctx context.Context, account, id int64) error {
	return c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		r, err := ownImage(ctx, t, account, id)
		if err != nil {
			return err
		}
		if r.removed {
			return image.ErrAlreadyDeleted
		}
		if !r.Public {
			t.only(scope(account))
		}
		return remove(ctx, t, r)
	})
}

func remove(ctx context.Context, t *tx, r record) error {
	freed, err := cancelImport(ctx, t, r.ID)
	if err != nil {
		return err
	}
	if err := cancelReplications(ctx, t, r.ID); err != nil {
		return err
	}
	if err := dropContent(ctx, t, r.ID); err != nil {
		return err
	}
	for _, statement := range []string{
		`DELETE FROM link_key WHERE image_id = $1`,
		`DELETE FROM idempotency WHERE image_id = $1`, // who asks again with its key wants an image, not the ghost of one
	} {
		if _, err := t.exec(ctx, statement, r.ID); err != nil {
			return err
		}
	}
	tags, err := r.tagIDs(ctx, t)
	if err != nil {
		return err
	}
	if err := restock(ctx, t, r.ID, r.shelves(tags), nil); err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE image SET status = $1, removed_at = {{now}}, slug = NULL, regions = '[]', tags = '[]'
		WHERE id = $2`, image.Deleted, r.ID)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE transfer SET state = 'cancelled' WHERE image_id = $1 AND state = 'pending'`, r.ID)
	if err != nil {
		return err
	}
	if r.Status != image.Deleted { // a failed import gave back its place when it failed
		freed.images = -1
	}
	freed.bytes = -r.DataSize
	return freed.apply(ctx, t, r.AccountID)
}

// cancelImport ends an image's import if it has not ended yet.
func cancelImport(ctx context.Context, t *tx, id int64) (freed change, err error) {
	var state string
	err = t.row(ctx, `SELECT state FROM import WHERE image_id = $1 {{for update}}`, id).Scan(&state)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return freed, err
	}
	switch state {
	case "queued":
		freed.queued = -1
	case "running":
		freed.running = -1
	default:
		return freed, nil
	}
	_, err = t.exec(ctx, `UPDATE import SET state = 'cancelled', url = NULL, updated_at = {{now}}, finished_at = {{now}}
		WHERE image_id = $1`, id)
	if err != nil {
		return freed, err
	}
	return freed, releasePins(ctx, t, id)
}

// dropContent takes an image out of its regions and gives up the manifests it had there.
func dropContent(ctx context.Context, t *tx, id int64) error {
	var manifests []int64
	err := t.each(ctx, `SELECT DISTINCT manifest_id FROM image_region WHERE image_id = $1 ORDER BY manifest_id`,
		[]any{id}, func(rows *sql.Rows) error {
			var m int64
			err := rows.Scan(&m)
			manifests = append(manifests, m)
			return err
		})
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM image_region WHERE image_id = $1`, id); err != nil {
		return err
	}
	for _, m := range manifests {
		if err := dropManifest(ctx, t, m); err != nil {
			return err
		}
	}
	return nil
}
