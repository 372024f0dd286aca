package catalog

import (
	"context"
	"database/sql"

	"ingot/internal/store"
)

// Kept returns objects that must be there, with an id above after.
func (x *ChunkIndex) Kept(ctx context.Context, after int64, limit int) (kept []store.KeptObject, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		kept = nil
		return t.each(ctx, `SELECT id, name, kind, size FROM object WHERE store_id = $1 AND state = 'live' AND id > $2
			ORDER BY id LIMIT $3`, []any{x.store, after, limit}, func(rows *sql.Rows) error {
			var o store.KeptObject
			err := rows.Scan(&o.ID, &o.Name, &o.Kind, &o.Size)
			kept = append(kept, o)
			return err
		})
	})
	return kept, err
}

// PackChunks returns the chunks that the index locates in a pack.
func (x *ChunkIndex) PackChunks(ctx context.Context, pack string) (entries []store.Entry, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		entries = nil
		found, err := ids(ctx, t, `SELECT id FROM object WHERE store_id = $1 AND name = $2`, x.store, pack)
		if err != nil || len(found) == 0 {
			return err
		}
		entries, err = chunksOf(ctx, t, found[0], pack)
		return err
	})
	return entries, err
}

// Manifests returns published manifests with an id above after.
func (x *ChunkIndex) Manifests(ctx context.Context, after int64, limit int) (kept []store.KeptManifest, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		kept = nil
		err := t.each(ctx, `SELECT m.id, o.name, m.digest, m.damaged FROM manifest m JOIN object o ON o.id = m.object_id
			WHERE m.store_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3`, []any{x.store, after, limit}, func(rows *sql.Rows) error {
			var m store.KeptManifest
			var digest sql.RawBytes
			err := rows.Scan(&m.ID, &m.Object, &digest, &m.Damaged)
			copy(m.Digest[:], digest)
			kept = append(kept, m)
			return err
		})
		if err != nil {
			return err
		}
		for i := range kept {
			kept[i].Images, err = ids(ctx, t, `SELECT DISTINCT image_id FROM image_region WHERE manifest_id = $1 ORDER BY image_id`, kept[i].ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return kept, err
}

// Registered says of each name whether the index knows an object of that name.
func (x *ChunkIndex) Registered(ctx context.Context, names []string) (known []bool, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		known = make([]bool, len(names))
		for i, name := range names {
			err := t.row(ctx, `SELECT EXISTS (SELECT 1 FROM object WHERE store_id = $1 AND name = $2)`, x.store, name).Scan(&known[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return known, err
}
