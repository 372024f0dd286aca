package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

// ensureTags returns the account's tags of these names in canonical spelling, sorted, with their ids; those that are
// missing are created.
func ensureTags(ctx context.Context, t *tx, account int64, names []string) (canonical []string, ids []int64, err error) {
	for _, name := range names {
		id, spelt, err := findTag(ctx, t, account, name)
		if errors.Is(err, sql.ErrNoRows) {
			spelt = name
			err = t.row(ctx, `INSERT INTO tag (account_id, name, folded, created_at) VALUES ($1, $2, $3, {{now}})
				RETURNING id`, account, name, strings.ToLower(name)).Scan(&id)
		}
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(ids, id) {
			canonical, ids = append(canonical, spelt), append(ids, id)
		}
	}
	slices.Sort(canonical)
	return canonical, ids, nil
}

// findTag returns an account's tag, in any capitalisation; sql.ErrNoRows if there is none.
func findTag(ctx context.Context, t *tx, account int64, name string) (id int64, spelt string, err error) {
	err = t.row(ctx, `SELECT id, name FROM tag WHERE account_id = $1 AND folded = $2`,
		account, strings.ToLower(name)).Scan(&id, &spelt)
	return id, spelt, err
}

// tagIDs returns the ids of an image's tags.
func (r record) tagIDs(ctx context.Context, t *tx) ([]int64, error) {
	var ids []int64
	for _, name := range r.Tags {
		id, _, err := findTag(ctx, t, r.AccountID, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
