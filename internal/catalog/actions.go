package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"ingot/internal/image"
)

// Act does what was asked of one of the account's images and returns the action, which is in the account's lists from
// then on. A transfer to a store that does not have the image is queued, and in progress until that is done. An image
// that is not available, a region that it has or is on its way to, and the conversion of what is no backup are Invalid
// errors.
func (c *Catalog) Act(ctx context.Context, account, id int64, act image.Act) (image.Action, error) {
	var out image.Action
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
		if r.Status != image.Available {
			return invalid("The image's status is %s; this can be done with an image that is %s.", r.Status, image.Available)
		}
		out, err = perform(ctx, t, r, act)
		return err
	})
	return out, err
}

// perform does what can be done in this transaction, and queues the rest.
func perform(ctx context.Context, t *tx, r record, act image.Act) (image.Action, error) {
	done := image.Action{ImageID: r.ID, Type: act.Type, Status: image.Completed, Region: act.Region}
	if act.Type == image.Convert {
		done.Region = r.Regions[0]
		if err := convert(ctx, t, r); err != nil {
			return done, err
		}
		return addAction(ctx, t, r.AccountID, done)
	}
	store, err := regionFor(ctx, t, r, act.Region)
	if err != nil {
		return done, err
	}
	there, err := addRegion(ctx, t, &r, act.Region, store)
	switch {
	case err != nil:
		return done, err
	case there:
		return addAction(ctx, t, r.AccountID, done)
	}
	return replicate(ctx, t, r, act.Region, store)
}

// regionFor returns the store of a region that an image is not in, or not whole: then a transfer mends it.
func regionFor(ctx context.Context, t *tx, r record, region string) (store int64, err error) {
	store, err = regionStore(ctx, t, region)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, invalid("region is none of this service's regions.")
	}
	if err != nil || !slices.Contains(r.Regions, region) {
		return store, err
	}
	var damaged bool
	err = t.row(ctx, `SELECT EXISTS (SELECT 1 FROM image_region i JOIN manifest m ON m.id = i.manifest_id
		WHERE i.image_id = $1 AND i.region = $2 AND m.damaged)`, r.ID, region).Scan(&damaged)
	if err == nil && !damaged {
		err = invalid("The image is in region %s already.", region)
	}
	return store, err
}

// addRegion puts an available image into one more region, if its store holds the image's content. The image's account is
// locked, so the manifest stays.
func addRegion(ctx context.Context, t *tx, r *record, region string, store int64) (there bool, err error) {
	n, err := t.exec(ctx, `INSERT INTO image_region (image_id, region, store_id, manifest_id)
		SELECT DISTINCT i.image_id, $3, i.store_id, i.manifest_id FROM image_region i JOIN manifest m ON m.id = i.manifest_id
		WHERE i.image_id = $1 AND i.store_id = $2 AND NOT m.damaged`, r.ID, store, region)
	if err != nil || n == 0 {
		return false, err
	}
	return true, showRegion(ctx, t, r, region)
}

// showRegion adds a region to those that stand with the image.
func showRegion(ctx context.Context, t *tx, r *record, region string) error {
	if !slices.Contains(r.Regions, region) {
		r.Regions = append(slices.Clone(r.Regions), region)
		slices.Sort(r.Regions)
	}
	_, err := t.exec(ctx, `UPDATE image SET regions = $1 WHERE id = $2`, toJSON(r.Regions), r.ID)
	return err
}

func convert(ctx context.Context, t *tx, r record) error {
	if r.Type != image.Backup {
		return invalid("The image's type is %s; only a %s can be converted to a %s.", r.Type, image.Backup, image.Snapshot)
	}
	_, err := t.exec(ctx, `UPDATE image SET type = $1 WHERE id = $2`, image.Snapshot, r.ID)
	return err
}

const actionColumns = `id, image_id, type, status, region, started_at, completed_at`

func scanAction(scan func(...any) error) (image.Action, error) {
	var a image.Action
	var started, completed int64
	err := scan(&a.ID, &a.ImageID, &a.Type, &a.Status, &a.Region, &started, &completed)
	a.StartedAt = seconds(started)
	if completed != 0 {
		a.CompletedAt = seconds(completed)
	}
	return a, err
}

// addAction writes down an action, which this transaction has done or queued. It has the account locked.
func addAction(ctx context.Context, t *tx, account int64, a image.Action) (image.Action, error) {
	completed := `{{now}}`
	if a.Status == image.InProgress {
		completed = `0`
	}
	return scanAction(t.row(ctx, `INSERT INTO action (account_id, number, image_id, type, status, region, started_at, completed_at)
		VALUES ($1, (SELECT coalesce(max(number), 0) + 1 FROM action WHERE account_id = $1), $2, $3, $4, $5, {{now}}, `+completed+`)
		RETURNING `+actionColumns, account, a.ImageID, a.Type, a.Status, a.Region).Scan)
}

// Action returns one of the account's actions, or image.ErrNotFound.
func (c *Catalog) Action(ctx context.Context, account, id int64) (image.Action, error) {
	var a image.Action
	err := c.read(ctx, func(t *tx) (err error) {
		a, err = scanAction(t.row(ctx, `SELECT `+actionColumns+` FROM action WHERE id = $1 AND account_id = $2`, id, account).Scan)
		return err
	})
	return a, missing(err)
}

// Actions returns a page of what the account asked of its images, the latest first, and how many there are in all.
func (c *Catalog) Actions(ctx context.Context, account int64, p image.Page) ([]image.Action, int64, error) {
	var page []image.Action
	var total int64
	err := c.read(ctx, func(t *tx) error {
		page = nil
		err := t.row(ctx, `SELECT coalesce(max(number), 0) FROM action WHERE account_id = $1`, account).Scan(&total)
		if err != nil {
			return err
		}
		last := total - int64(p.Number-1)*int64(p.Size)
		page, err = actions(ctx, t, `WHERE account_id = $1 AND number <= $2 AND number > $3 ORDER BY number DESC`,
			account, last, last-int64(p.Size))
		return err
	})
	return page, total, err
}

// ImageActions returns a page of what the account asked of an image that it sees, the latest first, and how many there
// are in all.
func (c *Catalog) ImageActions(ctx context.Context, account, id int64, p image.Page) ([]image.Action, int64, error) {
	var page []image.Action
	var total int64
	err := c.read(ctx, func(t *tx) error {
		page = nil
		r, err := getImage(ctx, t, id)
		if err != nil {
			return err
		}
		if _, err := r.seenBy(account); err != nil {
			return err
		}
		err = t.row(ctx, `SELECT count(*) FROM action WHERE image_id = $1 AND account_id = $2`, id, account).Scan(&total)
		if err != nil {
			return err
		}
		page, err = actions(ctx, t, `WHERE image_id = $1 AND account_id = $2 ORDER BY id DESC LIMIT $3 OFFSET $4`,
			id, account, p.Size, int64(p.Number-1)*int64(p.Size))
		return err
	})
	return page, total, missing(err)
}

func actions(ctx context.Context, t *tx, where string, args ...any) (page []image.Action, err error) {
	err = t.each(ctx, `SELECT `+actionColumns+` FROM action `+where, args, func(rows *sql.Rows) error {
		a, err := scanAction(rows.Scan)
		page = append(page, a)
		return err
	})
	return page, err
}
