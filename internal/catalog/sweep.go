package catalog

import (
	"context"
	"database/sql"

	"ingot/internal/store"
)

const (
	// condemnPacks is how many packs one transaction ends; each takes about a thousand rows of chunk with it.
	condemnPacks = 8

	// forgetAfter is how long, in milliseconds, an object that was never finished stays on the list: its writer may be
	// hung, and finish it when it wakes. Until then it is deleted again every so often.
	forgetAfter = 24 * 60 * 60 * 1000
	deleteAgain = 60 * 60 * 1000

	// reserveFor is how long, in milliseconds, a sweep may take to write a pack.
	reserveFor = 60 * 60 * 1000
)

// Condemn marks some of what nobody relies on as dead.
func (x *ChunkIndex) Condemn(ctx context.Context) (int, error) {
	abandoned, err := x.condemnAbandoned(ctx)
	if err != nil {
		return 0, err
	}
	unused, err := x.condemnUnused(ctx)
	return abandoned + unused, err
}

// condemnAbandoned ends objects whose writer is gone. A lease that is not the import's now never is again, so their
// writer can settle none of them later; and one that was settled meanwhile is not in state writing.
func (x *ChunkIndex) condemnAbandoned(ctx context.Context) (n int, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		count, err := t.exec(ctx, `UPDATE object SET state = 'dead', until = {{now}} + $2 WHERE state = 'writing' AND id IN (
			SELECT o.id FROM object o WHERE o.store_id = $1 AND o.state = 'writing' AND (
				o.import_id IS NULL AND o.until < {{now}} OR
				o.import_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM import i
					WHERE i.image_id = o.import_id AND i.lease = o.lease AND i.state = 'running')
				AND NOT EXISTS (SELECT 1 FROM replication r
					WHERE r.action_id = -o.import_id AND r.lease = o.lease AND r.state = 'running')))`, x.store, int64(forgetAfter))
		n = int(count)
		return err
	})
	return n, err
}

// condemnUnused ends packs that something has let go of and nothing holds, and forgets their chunks.
func (x *ChunkIndex) condemnUnused(ctx context.Context) (n int, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		n = 0
		ids, err := ids(ctx, t, `SELECT DISTINCT o.id FROM loose l JOIN object o ON o.id = l.object_id
			WHERE l.store_id = $1 AND o.state = 'live' AND NOT EXISTS (SELECT 1 FROM pin p WHERE p.object_id = o.id)
			AND NOT EXISTS (SELECT 1 FROM manifest_pack r WHERE r.object_id = o.id) ORDER BY o.id LIMIT $2`, x.store, condemnPacks)
		if err != nil {
			return err
		}
		if ids, err = lockLive(ctx, t, ids); err != nil {
			return err
		}
		for _, id := range ids {
			var held bool
			err := t.row(ctx, `SELECT EXISTS (SELECT 1 FROM pin WHERE object_id = $1)
				OR EXISTS (SELECT 1 FROM manifest_pack WHERE object_id = $1)`, id).Scan(&held)
			if err != nil {
				return err
			}
			if held {
				continue
			}
			if err := endPack(ctx, t, id); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// endPack marks a pack dead that the transaction has locked, and forgets its chunks.
func endPack(ctx context.Context, t *tx, id int64) error {
	for _, statement := range []string{
		`UPDATE object SET state = 'dead', until = 0 WHERE id = $1`,
		`DELETE FROM chunk WHERE object_id = $1`,
		`DELETE FROM loose WHERE store_id = (SELECT store_id FROM object WHERE id = $1) AND object_id = $1`,
	} {
		if _, err := t.exec(ctx, statement, id); err != nil {
			return err
		}
	}
	return nil
}

// Dead returns dead objects that are to be deleted now, with an id above after. What is held for a backup is not.
func (x *ChunkIndex) Dead(ctx context.Context, after int64, limit int) (dead []store.DeadObject, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		dead = nil
		return t.each(ctx, `SELECT id, name, size FROM object WHERE store_id = $1 AND state = 'dead' AND again <= {{now}} AND id > $2
			AND NOT `+isHeld+` ORDER BY id LIMIT $3`, []any{x.store, after, limit}, func(rows *sql.Rows) error {
			var o store.DeadObject
			err := rows.Scan(&o.ID, &o.Name, &o.Size)
			dead = append(dead, o)
			return err
		})
	})
	return dead, err
}

// Forget removes dead objects that have been deleted, but for those that must be deleted again.
func (x *ChunkIndex) Forget(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	args := make([]any, 0, 1+len(ids))
	for _, id := range ids {
		args = append(args, id)
	}
	return x.c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM object WHERE state = 'dead' AND until <= {{now}} AND id IN (`+list(1, len(ids))+`)`, args...)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE object SET again = {{now}} + `+list(1+len(ids), 1)+` WHERE state = 'dead' AND id IN (`+list(1, len(ids))+`)`,
			append(args, int64(deleteAgain))...)
		return err
	})
}

// ids runs a query for ids.
func ids(ctx context.Context, t *tx, query string, args ...any) (out []int64, err error) {
	err = t.each(ctx, query, args, func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		out = append(out, id)
		return err
	})
	return out, err
}
