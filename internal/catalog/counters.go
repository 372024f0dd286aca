package catalog

import (
	"context"
	"database/sql"
)

// CheckCounters compares every kept count with what it counts, puts right what is wrong and returns how many were. It
// may run beside everything else: it takes locks for what is wrong alone.
func (c *Catalog) CheckCounters(ctx context.Context) (int, error) {
	shelves, err := c.checkShelves(ctx)
	if err != nil {
		return shelves, err
	}
	accounts, err := c.checkAccounts(ctx)
	if n := shelves + accounts; n > 0 {
		c.log.WarnContext(ctx, "kept counts were wrong and have been put right", "lists", shelves, "accounts", accounts)
	}
	return shelves + accounts, err
}

func (c *Catalog) checkShelves(ctx context.Context) (int, error) {
	type stretch struct{ class, owner, block int64 }
	var wrong []stretch
	err := c.read(ctx, func(t *tx) error {
		return t.each(ctx, `SELECT coalesce(s.class, k.class), coalesce(s.owner, k.owner), coalesce(s.block, k.block)
			FROM (SELECT class, owner, image_id / $1 AS block, count(*) AS n FROM shelf GROUP BY 1, 2, 3) AS s
			FULL JOIN shelf_count k ON k.class = s.class AND k.owner = s.owner AND k.block = s.block
			WHERE coalesce(s.n, 0) <> coalesce(k.n, 0)`, []any{blockSize}, func(rows *sql.Rows) error {
			var w stretch
			err := rows.Scan(&w.class, &w.owner, &w.block)
			wrong = append(wrong, w)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	for _, w := range wrong {
		err := c.write(ctx, func(t *tx) error { return recount(ctx, t, shelf{w.class, w.owner}, w.block) })
		if err != nil {
			return 0, err
		}
	}
	return len(wrong), nil
}

// recount counts one stretch anew. Its row is locked first: whoever puts an image there at this moment adds to the
// count after this transaction.
func recount(ctx context.Context, t *tx, s shelf, block int64) error {
	if err := s.count(ctx, t, block*blockSize, 0); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE shelf_count SET n = (SELECT count(*) FROM shelf
			WHERE class = $1 AND owner = $2 AND image_id >= $3 AND image_id < $4)
		WHERE class = $1 AND owner = $2 AND block = $5`, s.class, s.owner, block*blockSize, (block+1)*blockSize, block)
	return err
}

// held is what the accounts hold, counted; all of them, or one.
const held = `SELECT q.account_id, q.images AS kept_images, q.bytes AS kept_bytes, q.queued AS kept_queued,
		q.running AS kept_running, coalesce(i.images, 0) AS images, coalesce(i.bytes, 0) + coalesce(u.bytes, 0) AS bytes,
		coalesce(j.queued, 0) AS queued, coalesce(j.running, 0) AS running
	FROM quota q
	LEFT JOIN (SELECT account_id, count(*) AS images, CAST(sum(data_size) AS BIGINT) AS bytes FROM image
		WHERE removed_at IS NULL AND status <> 'deleted' GROUP BY account_id) AS i ON i.account_id = q.account_id
	LEFT JOIN (SELECT account_id, count(CASE WHEN state = 'queued' THEN 1 END) AS queued,
			count(CASE WHEN state = 'running' THEN 1 END) AS running FROM import
		WHERE state = 'queued' OR state = 'running' GROUP BY account_id) AS j ON j.account_id = q.account_id
	LEFT JOIN (SELECT account_id, CAST(sum(size) AS BIGINT) AS bytes FROM upload
		WHERE NOT dead GROUP BY account_id) AS u ON u.account_id = q.account_id`

func (c *Catalog) checkAccounts(ctx context.Context) (int, error) {
	var wrong []int64
	err := c.read(ctx, func(t *tx) error {
		return t.each(ctx, `SELECT account_id FROM (`+held+`) AS h WHERE kept_images <> images OR kept_bytes <> bytes
			OR kept_queued <> queued OR kept_running <> running`, nil, func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			wrong = append(wrong, id)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	for _, account := range wrong {
		err := c.write(ctx, func(t *tx) error {
			if _, err := lockAccount(ctx, t, account); err != nil {
				return err
			}
			_, err := t.exec(ctx, `UPDATE quota SET images = h.images, bytes = h.bytes, queued = h.queued,
				running = h.running FROM (`+held+`) AS h WHERE h.account_id = quota.account_id AND quota.account_id = $1`, account)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return len(wrong), nil
}
