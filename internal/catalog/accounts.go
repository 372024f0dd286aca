package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"ingot/internal/image"
)

const selectAccount = `SELECT a.id, a.uuid, a.name, a.email, a.created_at, q.max_images, q.max_bytes, q.max_imports
	FROM account a JOIN quota q ON q.account_id = a.id `

func scanAccount(scan func(...any) error) (image.Account, error) {
	var a image.Account
	var created int64
	err := scan(&a.ID, &a.UUID, &a.Name, &a.Email, &created, &a.Quota.Images, &a.Quota.Bytes, &a.Quota.Imports)
	a.CreatedAt = seconds(created)
	return a, err
}

// accountByID reads one account; sql.ErrNoRows if there is none.
func accountByID(ctx context.Context, t *tx, id int64) (image.Account, error) {
	return scanAccount(t.row(ctx, selectAccount+`WHERE a.id = $1`, id).Scan)
}

// CreateAccount makes an account of the given name, address and quota. A name that another account has is an Invalid
// error.
func (c *Catalog) CreateAccount(ctx context.Context, in image.Account) (image.Account, error) {
	if in.UUID == "" {
		in.UUID = newUUID()
	}
	var out image.Account
	err := c.write(ctx, func(t *tx) error {
		var id int64
		err := t.row(ctx, `INSERT INTO account (uuid, name, email, created_at) VALUES ($1, $2, $3, {{now}})
			ON CONFLICT (name) DO NOTHING RETURNING id`, in.UUID, in.Name, in.Email).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return invalid("There is an account of the name %s already; choose another name.", in.Name)
		}
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO quota (account_id, max_images, max_bytes, max_imports)
			VALUES ($1, $2, $3, $4)`, id, in.Quota.Images, in.Quota.Bytes, in.Quota.Imports)
		if err != nil {
			return err
		}
		out, err = accountByID(ctx, t, id)
		return err
	})
	return out, err
}

// Accounts returns every account, the oldest first.
func (c *Catalog) Accounts(ctx context.Context) ([]image.Account, error) {
	var all []image.Account
	err := c.read(ctx, func(t *tx) error {
		return t.each(ctx, selectAccount+`ORDER BY a.id`, nil, func(rows *sql.Rows) error {
			a, err := scanAccount(rows.Scan)
			all = append(all, a)
			return err
		})
	})
	return all, err
}

// Account returns one account, or image.ErrNotFound.
func (c *Catalog) Account(ctx context.Context, id int64) (image.Account, error) {
	var a image.Account
	err := c.read(ctx, func(t *tx) error {
		var err error
		a, err = accountByID(ctx, t, id)
		return err
	})
	return a, missing(err)
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
