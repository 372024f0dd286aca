package catalog

import (
	"context"
	"database/sql"
	"time"

	"ingot/internal/image"
)

const selectToken = `SELECT id, account_id, name, scopes, created_at, expires_at, revoked_at IS NOT NULL FROM token `

func scanToken(scan func(...any) error) (image.Token, error) {
	var tok image.Token
	var scopes string
	var created int64
	var expires sql.NullInt64
	if err := scan(&tok.ID, &tok.AccountID, &tok.Name, &scopes, &created, &expires, &tok.Revoked); err != nil {
		return tok, err
	}
	tok.CreatedAt = seconds(created)
	tok.ExpiresAt = fromMillis(expires.Int64)
	var err error
	tok.Scopes, err = fromJSON(scopes)
	return tok, err
}

// CreateToken makes a token of which only the SHA-256 of its secret is kept.
func (c *Catalog) CreateToken(ctx context.Context, in image.Token, hash [32]byte) (image.Token, error) {
	expires := sql.NullInt64{Int64: in.ExpiresAt.UnixMilli(), Valid: !in.ExpiresAt.IsZero()}
	var out image.Token
	err := c.write(ctx, func(t *tx) error {
		t.only(tokens)
		if _, err := lockAccount(ctx, t, in.AccountID); err != nil {
			return err
		}
		var id int64
		err := t.row(ctx, `INSERT INTO token (account_id, name, hash, scopes, created_at, expires_at)
			VALUES ($1, $2, $3, $4, {{now}}, $5) RETURNING id`,
			in.AccountID, in.Name, hash[:], toJSON(in.Scopes), expires).Scan(&id)
		if err != nil {
			return err
		}
		out, err = scanToken(t.row(ctx, selectToken+`WHERE id = $1`, id).Scan)
		return err
	})
	return out, err
}

// Tokens returns an account's tokens, revoked and expired ones too, the oldest first.
func (c *Catalog) Tokens(ctx context.Context, account int64) ([]image.Token, error) {
	var all []image.Token
	err := c.read(ctx, func(t *tx) error {
		return t.each(ctx, selectToken+`WHERE account_id = $1 ORDER BY id`, []any{account}, func(rows *sql.Rows) error {
			tok, err := scanToken(rows.Scan)
			all = append(all, tok)
			return err
		})
	})
	return all, err
}

// RevokeToken ends a token at once. It is no error that it was revoked before.
func (c *Catalog) RevokeToken(ctx context.Context, account, id int64) error {
	return c.write(ctx, func(t *tx) error {
		t.only(tokens)
		n, err := t.exec(ctx, `UPDATE token SET revoked_at = coalesce(revoked_at, {{now}})
			WHERE id = $1 AND account_id = $2`, id, account)
		if err == nil && n == 0 {
			return image.ErrNotFound
		}
		return err
	})
}

// Authenticate returns the token whose secret has this SHA-256, or image.ErrNotFound if it is unknown, revoked or
// expired. Callers share what is returned and must not change it.
func (c *Catalog) Authenticate(ctx context.Context, hash [32]byte) (image.Token, error) {
	tok, err := remembered(ctx, c, func(k *cache) *recent[[32]byte, image.Token] { return k.tokens }, tokens, hash,
		func() (image.Token, error) { return c.readToken(ctx, hash) })
	if err == nil && !tok.ExpiresAt.IsZero() && !time.Now().Before(tok.ExpiresAt) && c.cache != nil {
		return image.Token{}, image.ErrNotFound // since it was kept; the clock is the database's too
	}
	return tok, err
}

func (c *Catalog) readToken(ctx context.Context, hash [32]byte) (image.Token, error) {
	var tok image.Token
	err := c.read(ctx, func(t *tx) error {
		var err error
		tok, err = scanToken(t.row(ctx, selectToken+`WHERE hash = $1 AND revoked_at IS NULL
			AND (expires_at IS NULL OR expires_at > {{now}})`, hash[:]).Scan)
		return err
	})
	return tok, missing(err)
}
