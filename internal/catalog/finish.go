package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// Release hands an import back: it waits again at once and the attempt does not count. The image stays pending, since
// no state goes backwards before the eyes of a client; its progress says that it is queued.
func (c *Catalog) Release(ctx context.Context, claim image.Claim) error {
	return c.finish(ctx, claim, "queued", func(t *tx) error {
		t.only(scope(claim.AccountID))
		_, err := t.exec(ctx, `UPDATE import SET state = 'queued', progress = '{}', not_before = 0, updated_at = {{now}}
			WHERE image_id = $1`, claim.ImageID)
		if err != nil {
			return err
		}
		return change{queued: 1, running: -1}.apply(ctx, t, claim.AccountID)
	})
}

// Retry ends an attempt that failed in passing. The import waits again, not before at (by this process's clock), and
// for an hour at most.
func (c *Catalog) Retry(ctx context.Context, claim image.Claim, at time.Time, r *refusal.Error) error {
	delay := min(max(time.Until(at), 0), maxDelay)
	return c.finish(ctx, claim, "queued", func(t *tx) error {
		t.only(scope(claim.AccountID))
		_, err := t.exec(ctx, `UPDATE import SET state = 'queued', progress = '{}', attempts = attempts + 1,
				not_before = {{now}} + $2, error_code = $3, error_message = $4, updated_at = {{now}}
			WHERE image_id = $1`, claim.ImageID, delay.Milliseconds(), r.Code, r.Message)
		if err != nil {
			return err
		}
		return change{queued: 1, running: -1}.apply(ctx, t, claim.AccountID)
	})
}

// Fail ends an import for good: the image is deleted, with the message, and stays readable by id; its place in the
// quota is given back, and what the import pinned is free.
func (c *Catalog) Fail(ctx context.Context, claim image.Claim, code, message string) error {
	return c.finish(ctx, claim, "failed", func(t *tx) error {
		t.only(scope(claim.AccountID))
		r, err := getImage(ctx, t, claim.ImageID)
		if err != nil {
			return err
		}
		tags, err := r.tagIDs(ctx, t)
		if err != nil {
			return err
		}
		before := r.shelves(tags)
		r.Status = image.Deleted
		if err := restock(ctx, t, r.ID, before, r.shelves(tags)); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE image SET status = $1, error_message = $2 WHERE id = $3`, r.Status, message, r.ID)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE import SET state = 'failed', url = NULL, attempts = attempts + 1, error_code = $2,
				error_message = $3, updated_at = {{now}}, finished_at = {{now}}
			WHERE image_id = $1`, r.ID, code, message)
		if err != nil {
			return err
		}
		if err := releasePins(ctx, t, r.ID); err != nil {
			return err
		}
		return change{images: -1, running: -1}.apply(ctx, t, claim.AccountID)
	})
}

// Publish ends an import well: the image is available in its region with what was written, all of which must be
// durable. An account that may not hold that much data is a *refusal.Error.
func (c *Catalog) Publish(ctx context.Context, claim image.Claim, p image.Progress, w store.Written) error {
	text, err := encodeProgress(p)
	if err != nil {
		return err
	}
	return c.finish(ctx, claim, "done", func(t *tx) error {
		h, err := lockAccount(ctx, t, claim.AccountID)
		if err != nil {
			return err
		}
		var freed int64 // an upload ends as it becomes an image
		if id, ok := image.UploadID(claim.URL); ok {
			if freed, err = endUpload(ctx, t, claim.AccountID, id, `NOT dead`); err != nil {
				return err
			}
			h.bytes -= freed
		}
		if h.max.Bytes > 0 && h.bytes+w.DataBytes > h.max.Bytes {
			return refusal.New("quota_bytes", "The image holds %d bytes of data; with it the account would hold %d and "+
				"may hold at most %d. Delete an image first, or ask for a larger quota.",
				w.DataBytes, h.bytes+w.DataBytes, h.max.Bytes)
		}
		if err := addContent(ctx, t, claim, w); err != nil {
			return err
		}
		if err := publishAsWanted(ctx, t, claim.ImageID); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE import SET state = 'done', url = NULL, attempts = attempts + 1, progress = $2,
				error_code = '', error_message = '', updated_at = {{now}}, finished_at = {{now}}
			WHERE image_id = $1`, claim.ImageID, text)
		if err != nil {
			return err
		}
		return change{running: -1, bytes: w.DataBytes - freed}.apply(ctx, t, claim.AccountID)
	})
}

// addContent makes an image available in the region that it was imported to.
func addContent(ctx context.Context, t *tx, claim image.Claim, w store.Written) error {
	var storeID int64
	err := t.row(ctx, `SELECT store_id FROM region WHERE slug = $1`, claim.Region).Scan(&storeID)
	if err != nil {
		return err
	}
	manifest, err := publishManifest(ctx, t, storeID, owner(claim), w)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO image_region (image_id, region, store_id, manifest_id) VALUES ($1, $2, $3, $4)`,
		claim.ImageID, claim.Region, storeID, manifest)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE image SET status = $1, regions = $2, guest_size = $3, data_size = $4, digest = $5
		WHERE id = $6`, image.Available, toJSON([]string{claim.Region}), w.GuestSize, w.DataBytes, w.Manifest.String(),
		claim.ImageID)
	return err
}

// finish runs the end of a claim in one transaction, under its lease. When it is called again after it succeeded (the
// answer to the commit may have been lost), it does nothing: the lease of the last claim is kept.
func (c *Catalog) finish(ctx context.Context, claim image.Claim, state string, fn func(*tx) error) error {
	return c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, claim.AccountID); err != nil {
			return err
		}
		err := holdLease(ctx, t, claim.ImageID, claim.Lease)
		if err == nil {
			return fn(t)
		}
		if !errors.Is(err, image.ErrLeaseLost) {
			return err
		}
		var finished string
		err = t.row(ctx, `SELECT state FROM import WHERE image_id = $1 AND lease = $2`, claim.ImageID, claim.Lease).Scan(&finished)
		if errors.Is(err, sql.ErrNoRows) || err == nil && finished != state {
			return image.ErrLeaseLost
		}
		return err
	})
}
