package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ingot/internal/image"
	"ingot/internal/store"
)

// Mend makes a durable pack known in place of another. The new pack has another name, by which a publication that relies
// on the old one is refused (see referToPacks): so an import cannot count on a chunk that is no longer there.
func (x *ChunkIndex) Mend(ctx context.Context, old, pack string, size int64, entries []store.Entry, grace time.Duration) (done bool, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		done = false
		source, err := x.lockOld(ctx, t, old)
		if err != nil {
			return err
		}
		if old != "" && source == 0 {
			return x.giveUp(ctx, t, pack)
		}
		done = true
		target := source
		if pack != old {
			if target, err = x.enlist(ctx, t, pack, size, lightBytes(entries)); err != nil {
				return err
			}
		}
		if source != 0 {
			if _, err := t.exec(ctx, `DELETE FROM chunk WHERE object_id = $1`, source); err != nil {
				return err
			}
		}
		if err := x.insertChunks(ctx, t, target, entries); err != nil {
			return err
		}
		if target == source {
			_, err := t.exec(ctx, `UPDATE object SET size = $2 WHERE id = $1`, source, size)
			return err
		}
		if err := moveUsers(ctx, t, source, target); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE object SET again = {{now}} + $2 WHERE id = $1`, source, grace.Milliseconds())
		return err
	})
	return done && err == nil, err
}

// lockOld locks a pack, and the manifests that rely on it, and returns its id; 0 if it is not live.
func (x *ChunkIndex) lockOld(ctx context.Context, t *tx, old string) (int64, error) {
	if old == "" {
		return 0, nil
	}
	found, err := ids(ctx, t, `SELECT id FROM object WHERE store_id = $1 AND name = $2`, x.store, old)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	users, err := ids(ctx, t, `SELECT manifest_id FROM manifest_pack WHERE object_id = $1 ORDER BY manifest_id`, found[0])
	if err != nil {
		return 0, err
	}
	for _, id := range users {
		if _, err := ids(ctx, t, `SELECT id FROM manifest WHERE id = $1 {{for update}}`, id); err != nil {
			return 0, err
		}
	}
	id, err := x.lockPack(ctx, t, old)
	if err != nil || id != found[0] { // a settling has given the row to another object meanwhile
		return 0, err
	}
	return id, nil
}

func (x *ChunkIndex) giveUp(ctx context.Context, t *tx, pack string) error {
	_, err := t.exec(ctx, `UPDATE object SET state = 'dead' WHERE store_id = $1 AND name = $2 AND state = 'writing'`, x.store, pack)
	return err
}

// enlist makes a reserved pack live and returns its id; 0 for no pack.
func (x *ChunkIndex) enlist(ctx context.Context, t *tx, pack string, size, light int64) (id int64, err error) {
	if pack == "" {
		return 0, nil
	}
	err = t.row(ctx, `UPDATE object SET state = 'live', size = $3, light = $4, until = 0 WHERE store_id = $1 AND name = $2 AND state = 'writing'
		AND import_id IS NULL RETURNING id`, x.store, pack, size, light).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("pack %s took too long to write: %w", pack, err)
	}
	return id, nil
}

// insertChunks makes chunks known that have no place yet.
func (x *ChunkIndex) insertChunks(ctx context.Context, t *tx, pack int64, entries []store.Entry) error {
	a := adding{x: x, t: t, pack: pack, entries: entries}
	batch := make([]int, 0, addRows)
	for i := range entries {
		if batch = append(batch, i); len(batch) < addRows && i < len(entries)-1 {
			continue
		}
		if _, err := a.insert(ctx, batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return nil
}

// moveUsers lets what relied on one pack rely on another, if there is one, and ends the first. Who has it pinned must
// begin again.
func moveUsers(ctx context.Context, t *tx, source, target int64) error {
	if source == 0 {
		return nil
	}
	if target != 0 {
		_, err := t.exec(ctx, `INSERT INTO manifest_pack (manifest_id, object_id, bytes)
			SELECT manifest_id, CAST($2 AS BIGINT), bytes FROM manifest_pack WHERE object_id = $1`, source, target)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO loose (store_id, object_id) SELECT store_id, id FROM object WHERE id = $1`, target); err != nil {
			return err
		}
	}
	for _, table := range []string{"manifest_pack", "pin"} {
		if _, err := t.exec(ctx, `DELETE FROM `+table+` WHERE object_id = $1`, source); err != nil {
			return err
		}
	}
	return endPack(ctx, t, source)
}

// Refer writes down that a manifest relies on packs.
func (x *ChunkIndex) Refer(ctx context.Context, manifest int64, packs map[string]int64) (done bool, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		done = false
		if found, err := ids(ctx, t, `SELECT id FROM manifest WHERE id = $1 {{for update}}`, manifest); err != nil || len(found) == 0 {
			return err
		}
		byID := map[int64]int64{}
		for name, bytes := range packs {
			found, err := ids(ctx, t, `SELECT id FROM object WHERE store_id = $1 AND name = $2`, x.store, name)
			if err != nil || len(found) == 0 {
				return err
			}
			byID[found[0]] = bytes
		}
		all := slices.Sorted(maps.Keys(byID))
		live, err := lockLive(ctx, t, all)
		if err != nil || len(live) < len(all) {
			return err
		}
		done = true
		bytes := make([]int64, len(all))
		for i, id := range all {
			bytes[i] = byID[id]
		}
		return refer(ctx, t, manifest, all, bytes)
	})
	return done && err == nil, err
}

// refer writes down that a manifest uses so many bytes of each pack, which has no fewer.
func refer(ctx context.Context, t *tx, manifest int64, packs, bytes []int64) error {
	for from := 0; from < len(packs); from += addRows {
		n := min(addRows, len(packs)-from)
		args := []any{manifest}
		for i := from; i < from+n; i++ {
			args = append(args, packs[i], bytes[i])
		}
		_, err := t.exec(ctx, `INSERT INTO manifest_pack (manifest_id, object_id, bytes)
			SELECT CAST($1 AS BIGINT), o.id, CASE WHEN o.size < v.column2 THEN o.size ELSE v.column2 END
			FROM `+values(2, n, "BIGINT", "BIGINT")+` AS v JOIN object o ON o.id = v.column1 WHERE TRUE
			ON CONFLICT (manifest_id, object_id) DO NOTHING`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

// damagedMessage is what the owner of an image reads that a check found damaged.
const damagedMessage = "A check of the service's store found that the image's content is damaged, and no whole copy of it is there. " +
	"It cannot be read until it is restored: create the image again from its source, which restores this one too, or ask the operator."

// Judge says whether a manifest is damaged. An image of which no store has a whole manifest is no longer available; it
// is pending, with a message, keeps its place, and is available again when its content is back.
func (x *ChunkIndex) Judge(ctx context.Context, manifest int64, damaged bool) error {
	return x.c.write(ctx, func(t *tx) error { return judge(ctx, t, manifest, damaged) })
}

func judge(ctx context.Context, t *tx, manifest int64, damaged bool) error {
	t.only(everybody)
	n, err := t.exec(ctx, `UPDATE manifest SET damaged = $2 WHERE id = $1`, manifest, damaged)
	if err != nil || n == 0 {
		return err
	}
	const mine = ` AND id IN (SELECT image_id FROM image_region WHERE manifest_id = $1)`
	if !damaged {
		_, err = t.exec(ctx, `UPDATE image SET error_message = '', status = CASE WHEN status = $2 THEN $3 ELSE status END
			WHERE digest <> '' AND error_message <> '' AND status <> $4`+mine, manifest, image.Pending, image.Available, image.Deleted)
		return err
	}
	_, err = t.exec(ctx, `UPDATE image SET error_message = $2, status = CASE WHEN status = $3 THEN $4 ELSE status END
		WHERE digest <> '' AND status <> $5 AND NOT EXISTS (SELECT 1 FROM image_region r JOIN manifest m ON m.id = r.manifest_id
			WHERE r.image_id = image.id AND NOT m.damaged)`+mine, manifest, damagedMessage, image.Available, image.Pending, image.Deleted)
	return err
}

// Recast gives a manifest another object.
func (x *ChunkIndex) Recast(ctx context.Context, manifest int64, object string, size int64) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		var old, id int64
		err := t.row(ctx, `SELECT object_id FROM manifest WHERE id = $1 {{for update}}`, manifest).Scan(&old)
		if errors.Is(err, sql.ErrNoRows) {
			return x.giveUp(ctx, t, object)
		}
		if err != nil {
			return err
		}
		err = t.row(ctx, `UPDATE object SET state = 'live', kind = $4, size = $3 WHERE store_id = $1 AND name = $2
			AND state = 'writing' AND import_id IS NULL RETURNING id`, x.store, object, size, string(store.KindManifest)).Scan(&id)
		if err != nil {
			return fmt.Errorf("manifest %s took too long to write: %w", object, err)
		}
		return recast(ctx, t, manifest, old, id)
	})
}

// recast puts one object of a manifest in place of another, which ends.
func recast(ctx context.Context, t *tx, manifest, old, id int64) error {
	if _, err := t.exec(ctx, `UPDATE manifest SET object_id = $2 WHERE id = $1`, manifest, id); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE object SET state = 'dead' WHERE id = $1`, old)
	return err
}

// Disown leaves an object that nobody knows of to the first sweep after the grace.
func (x *ChunkIndex) Disown(ctx context.Context, name string, size int64, grace time.Duration) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO object (store_id, name, kind, state, size, again) VALUES ($1, $2, $3, 'dead', $4, {{now}} + $5)
			ON CONFLICT (store_id, name) DO NOTHING`, x.store, name, string(store.KindPack), size, grace.Milliseconds())
		return err
	})
}
