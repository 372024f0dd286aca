package catalog

import (
	"context"
	"database/sql"
)

// Stores returns the URL of every store that a service was ever started with, by id.
func (c *Catalog) Stores(ctx context.Context) (map[int64]string, error) {
	var urls map[int64]string
	err := c.read(ctx, func(t *tx) error {
		urls = map[int64]string{}
		return t.each(ctx, `SELECT id, url FROM store`, nil, func(rows *sql.Rows) error {
			var id int64
			var url string
			if err := rows.Scan(&id, &url); err != nil {
				return err
			}
			urls[id] = url
			return nil
		})
	})
	return urls, err
}

// MarkedStore returns the id of the store that has a mark, 0 if none has.
func (c *Catalog) MarkedStore(ctx context.Context, mark string) (id int64, err error) {
	err = c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT coalesce(max(id), 0) FROM store WHERE mark = $1`, mark).Scan(&id)
	})
	return id, err
}
