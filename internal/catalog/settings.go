package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// keepSetting sets what nobody has set before, and returns what is set.
func keepSetting(ctx context.Context, t *tx, name, value string) (kept string, err error) {
	_, err = t.exec(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value)
	if err != nil {
		return "", err
	}
	err = t.row(ctx, `SELECT value FROM setting WHERE name = $1`, name).Scan(&kept)
	return kept, err
}

// ServiceID names this database to the stores that belong to it. A database that was restored from a backup has the
// name of that which was backed up.
func (c *Catalog) ServiceID(ctx context.Context) (id string, err error) {
	fresh := strings.ToLower(rand.Text())
	err = c.writeAside(ctx, func(t *tx) error {
		id, err = keepSetting(ctx, t, "service", fresh)
		return err
	})
	return id, err
}

// StoreMark returns the name of the object by which a store is known again; "" if none has been kept.
func (c *Catalog) StoreMark(ctx context.Context, storeID int64) (mark string, err error) {
	err = c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT mark FROM store WHERE id = $1`, storeID).Scan(&mark)
	})
	return mark, missing(err)
}

// KeepStoreMark keeps the mark of a store that has none, and returns the one that it has.
func (c *Catalog) KeepStoreMark(ctx context.Context, storeID int64, mark string) (kept string, err error) {
	err = c.writeAside(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, `UPDATE store SET mark = $1 WHERE id = $2 AND mark = ''`, mark, storeID); err != nil {
			return err
		}
		return t.row(ctx, `SELECT mark FROM store WHERE id = $1`, storeID).Scan(&kept)
	})
	return kept, missing(err)
}

// UseUploads says which folder this process keeps the files of clients in, by the folder's id; "" for none. All
// processes of a service have one. With change another one takes its place, unless files are still in the former (see
// LeaveUploads).
func (c *Catalog) UseUploads(ctx context.Context, folder string, change bool) error {
	c.uploads = folder
	return c.writeAside(ctx, func(t *tx) error {
		kept, err := keepSetting(ctx, t, "uploads", folder)
		if err != nil || kept == folder {
			return err
		}
		if !change {
			return refusal.New("uploads_elsewhere", "The other processes of this service keep what clients upload in another folder than this one. Give all of them "+
				"one --uploads DIR on a file system that they share, or --uploads none; to change it, stop them all and start one with --reconfigure.")
		}
		var used int64
		if err := t.row(ctx, `SELECT count(*) FROM upload WHERE NOT dead`).Scan(&used); err != nil {
			return err
		}
		if used > 0 {
			return refusal.New("uploads_waiting", "%d uploads are in the folder that was used before. Move that folder to its new place with all that is in it, "+
				"or start with the former --uploads until they have been imported or a day has passed; or, if they are lost, start once with --reconfigure, "+
				"which gives them up.", used)
		}
		_, err = t.exec(ctx, `UPDATE setting SET value = $1 WHERE name = 'uploads'`, folder)
		return err
	})
}

// LeaveUploads gives up what clients have sent, and their quota for it, if it is in another folder than this one; it
// returns how many uploads there were. Imports that wait for them will fail. It comes before UseUploads where the former
// folder is lost: a backup has no uploads, but the catalogue in it knows of them.
func (c *Catalog) LeaveUploads(ctx context.Context, folder string) (left int64, err error) {
	err = c.writeAside(ctx, func(t *tx) error {
		left = 0
		var former string
		err := t.row(ctx, `SELECT value FROM setting WHERE name = 'uploads'`).Scan(&former)
		if errors.Is(err, sql.ErrNoRows) || err == nil && former == folder {
			return nil
		}
		if err != nil {
			return err
		}
		freed, err := uploadedBytes(ctx, t)
		if err != nil {
			return err
		}
		for _, account := range slices.Sorted(maps.Keys(freed)) {
			if _, err := lockAccount(ctx, t, account); err != nil {
				return err
			}
			n, err := t.exec(ctx, `UPDATE upload SET dead = TRUE WHERE account_id = $1 AND NOT dead`, account)
			if err != nil {
				return err
			}
			left += n
			if err := (change{bytes: -freed[account]}).apply(ctx, t, account); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, `DELETE FROM upload WHERE dead`) // their files are where nobody looks any more
		return err
	})
	return left, err
}

// uploadedBytes returns what the uploads of each account count in its quota.
func uploadedBytes(ctx context.Context, t *tx) (map[int64]int64, error) {
	bytes := map[int64]int64{}
	err := t.each(ctx, `SELECT account_id, CAST(sum(size) AS BIGINT) FROM upload WHERE NOT dead GROUP BY account_id`, nil, func(rows *sql.Rows) error {
		var account, n int64
		err := rows.Scan(&account, &n)
		bytes[account] = n
		return err
	})
	return bytes, err
}

// hereUploads returns an error if the service has been moved to another folder of uploads since this process started.
func (c *Catalog) hereUploads(ctx context.Context, t *tx) error {
	var folder string
	err := t.row(ctx, `SELECT coalesce((SELECT value FROM setting WHERE name = 'uploads'), $1)`, c.uploads).Scan(&folder)
	if err == nil && folder != c.uploads {
		err = &image.Error{Kind: image.Busy, Message: "This process keeps uploads in a folder that the service has left; the operator must restart it."}
	}
	return err
}
