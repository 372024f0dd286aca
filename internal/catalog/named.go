package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// NamedImage is an image as an operator knows it.
type NamedImage struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Account string `json:"account"`
}

// NameImages returns what images are called and whose they are; those that are gone are left out.
func (c *Catalog) NameImages(ctx context.Context, ids []int64) (named []NamedImage, err error) {
	err = c.read(ctx, func(t *tx) error {
		named = make([]NamedImage, 0, len(ids))
		for _, id := range ids {
			n := NamedImage{ID: id}
			err := t.row(ctx, `SELECT i.name, a.name FROM image i JOIN account a ON a.id = i.account_id WHERE i.id = $1`, id).
				Scan(&n.Name, &n.Account)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			named = append(named, n)
		}
		return nil
	})
	return named, err
}
