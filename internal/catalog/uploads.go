package catalog

import (
	"context"
	"database/sql"
	"errors"

	"ingot/internal/image"
)

const selectUpload = `SELECT id, account_id, size, complete, expires_at FROM upload `

// usable tells uploads that have neither ended nor expired. One that an import is to read has not, however long the import
// waits for its turn. The two states are asked for one by one, since each has its index.
const (
	usable = `NOT dead AND (expires_at > {{now}}
		OR EXISTS (SELECT 1 FROM ` + readers + ` AND state = 'queued') OR EXISTS (SELECT 1 FROM ` + readers + ` AND state = 'running'))`
	readers = `import WHERE import.account_id = upload.account_id AND lower(substr(url, 1, 7)) = 'upload:' AND substr(url, 8, 32) = upload.id`
)

func scanUpload(scan func(...any) error) (image.Upload, error) {
	var u image.Upload
	var expires int64
	err := scan(&u.ID, &u.AccountID, &u.Size, &u.Complete, &expires)
	u.ExpiresAt = seconds(expires)
	return u, err
}

// AddUpload registers an upload and takes its size from the account's quota; one that is too large for it is an
// Invalid error.
func (c *Catalog) AddUpload(ctx context.Context, account int64, id string, size int64) (image.Upload, error) {
	var out image.Upload
	err := c.writeAside(ctx, func(t *tx) error {
		if err := c.hereUploads(ctx, t); err != nil {
			return err
		}
		h, err := lockAccount(ctx, t, account)
		if err != nil {
			return err
		}
		if h.max.Bytes > 0 && h.bytes+size > h.max.Bytes {
			return invalid("The file has %d bytes; with it the account would hold %d and may hold at most %d. Delete an image or another upload first, or ask for a larger quota.",
				size, h.bytes+size, h.max.Bytes)
		}
		var uploads int64
		if err := t.row(ctx, `SELECT count(*) FROM upload WHERE account_id = $1 AND NOT dead`, account).Scan(&uploads); err != nil {
			return err
		}
		if uploads >= image.MaxUploads {
			return invalid("The account has %d uploads and may have no more; import or delete one first.", uploads)
		}
		_, err = t.exec(ctx, `INSERT INTO upload (id, account_id, size, complete, dead, expires_at)
			VALUES ($1, $2, $3, FALSE, FALSE, {{now}} + $4)`, id, account, size, image.UploadTime.Milliseconds())
		if err != nil {
			return err
		}
		if out, err = scanUpload(t.row(ctx, selectUpload+`WHERE id = $1`, id).Scan); err != nil {
			return err
		}
		return change{bytes: size}.apply(ctx, t, account)
	})
	return out, err
}

// Upload returns an account's upload, or image.ErrNotFound.
func (c *Catalog) Upload(ctx context.Context, account int64, id string) (image.Upload, error) {
	var out image.Upload
	err := c.read(ctx, func(t *tx) (err error) {
		out, err = scanUpload(t.row(ctx, selectUpload+`WHERE id = $1 AND account_id = $2 AND `+usable, id, account).Scan)
		return err
	})
	return out, missing(err)
}

// KeepUpload puts off the end of an upload that was used; complete says that all of it has arrived.
func (c *Catalog) KeepUpload(ctx context.Context, id string, complete bool) (image.Upload, error) {
	var out image.Upload
	err := c.writeAside(ctx, func(t *tx) (err error) {
		out, err = scanUpload(t.row(ctx, `UPDATE upload SET expires_at = {{now}} + $2, complete = complete OR $3
			WHERE id = $1 AND NOT dead RETURNING id, account_id, size, complete, expires_at`, id, image.UploadTime.Milliseconds(), complete).Scan)
		return err
	})
	return out, missing(err)
}

// EndUpload ends an account's upload and gives its size back. Its files can be deleted then.
func (c *Catalog) EndUpload(ctx context.Context, account int64, id string) error {
	return c.endUploadIf(ctx, account, id, `NOT dead`)
}

func (c *Catalog) endUploadIf(ctx context.Context, account int64, id, condition string) error {
	return c.writeAside(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		freed, err := endUpload(ctx, t, account, id, condition)
		if err != nil {
			return err
		}
		return change{bytes: -freed}.apply(ctx, t, account)
	})
}

// endUpload ends an upload that meets a condition, and returns how many bytes are to be given back: 0 where there is no such upload (any more).
func endUpload(ctx context.Context, t *tx, account int64, id, condition string) (freed int64, err error) {
	err = t.row(ctx, `UPDATE upload SET dead = TRUE WHERE id = $1 AND account_id = $2 AND `+condition+` RETURNING size`, id, account).Scan(&freed)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return freed, err
}

// useUpload returns the size of the upload that an image's URL names, and keeps it for the import: 0 for another URL,
// an Invalid error where the account has no such upload or not all of it.
func useUpload(ctx context.Context, t *tx, account int64, rawURL string) (size int64, err error) {
	id, ok := image.UploadID(rawURL)
	if !ok {
		return 0, nil
	}
	var complete bool
	err = t.row(ctx, `UPDATE upload SET expires_at = {{now}} + $3 WHERE id = $1 AND account_id = $2 AND `+usable+`
		RETURNING size, complete`, id, account, image.UploadTime.Milliseconds()).Scan(&size, &complete)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, invalid("url names no upload of this account; it was never made, has been imported or deleted, or has expired. Upload the file again.")
	}
	if err == nil && !complete {
		err = invalid("url names an upload that is not complete; send the rest of the file first.")
	}
	return size, err
}

const expired = `NOT dead AND NOT (` + usable + `)`

// EndExpiredUploads ends what nobody has used for long, and no import is to read.
func (c *Catalog) EndExpiredUploads(ctx context.Context) error {
	type owned struct {
		id      string
		account int64
	}
	var found []owned
	err := c.read(ctx, func(t *tx) error {
		found = nil
		return t.each(ctx, `SELECT id, account_id FROM upload WHERE `+expired, nil, func(rows *sql.Rows) error {
			var u owned
			err := rows.Scan(&u.id, &u.account)
			found = append(found, u)
			return err
		})
	})
	for _, u := range found {
		err = errors.Join(err, c.endUploadIf(ctx, u.account, u.id, expired)) // it may have been used since
	}
	return err
}

// DeadUploads returns the uploads whose files are to be deleted.
func (c *Catalog) DeadUploads(ctx context.Context) (ids []string, err error) {
	err = c.read(ctx, func(t *tx) error {
		ids = nil
		return t.each(ctx, `SELECT id FROM upload WHERE dead`, nil, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			ids = append(ids, id)
			return err
		})
	})
	return ids, err
}

// ForgetUpload forgets a dead upload whose files are deleted.
func (c *Catalog) ForgetUpload(ctx context.Context, id string) error {
	return c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM upload WHERE id = $1 AND dead`, id)
		return err
	})
}
