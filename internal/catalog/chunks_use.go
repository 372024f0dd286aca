package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"ingot/internal/store"
)

// Concerned returns the images that rely on an object.
func (x *ChunkIndex) Concerned(ctx context.Context, object string) (images []int64, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		images, err = ids(ctx, t, `SELECT DISTINCT r.image_id FROM object o JOIN manifest_pack p ON p.object_id = o.id
				JOIN image_region r ON r.manifest_id = p.manifest_id WHERE o.store_id = $1 AND o.name = $2
			UNION SELECT r.image_id FROM object o JOIN manifest m ON m.object_id = o.id
				JOIN image_region r ON r.manifest_id = m.id WHERE o.store_id = $1 AND o.name = $2`, x.store, object)
		slices.Sort(images)
		return err
	})
	return images, err
}

// References returns the packs that a manifest is written down to rely on.
func (x *ChunkIndex) References(ctx context.Context, manifest int64) (packs []string, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		packs = nil
		return t.each(ctx, `SELECT o.name FROM manifest_pack p JOIN object o ON o.id = p.object_id WHERE p.manifest_id = $1`,
			[]any{manifest}, func(rows *sql.Rows) error {
				var name string
				err := rows.Scan(&name)
				packs = append(packs, name)
				return err
			})
	})
	return packs, err
}

// ManifestObject returns the object of the published manifest of a digest, "" if there is none.
func (x *ChunkIndex) ManifestObject(ctx context.Context, digest store.Digest) (object string, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT o.name FROM manifest m JOIN object o ON o.id = m.object_id
			WHERE m.store_id = $1 AND m.digest = $2`, x.store, digest[:]).Scan(&object)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return object, err
}

// unusedPacks are those that nobody holds and that are not on the sweep's list either.
const unusedPacks = `o.store_id = $1 AND o.kind = 'pack' AND o.state = 'live'
	AND NOT EXISTS (SELECT 1 FROM pin p WHERE p.object_id = o.id)
	AND NOT EXISTS (SELECT 1 FROM manifest_pack r WHERE r.object_id = o.id)
	AND NOT EXISTS (SELECT 1 FROM loose l WHERE l.store_id = o.store_id AND l.object_id = o.id)`

// Unused returns packs that nobody relies on and that no sweep would look at.
func (x *ChunkIndex) Unused(ctx context.Context) (packs []store.KeptObject, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		packs = nil
		return t.each(ctx, `SELECT o.id, o.name, o.kind, o.size FROM object o WHERE `+unusedPacks+` ORDER BY o.id`,
			[]any{x.store}, func(rows *sql.Rows) error {
				var o store.KeptObject
				err := rows.Scan(&o.ID, &o.Name, &o.Kind, &o.Size)
				packs = append(packs, o)
				return err
			})
	})
	return packs, err
}

// Loosen lets the next sweep look at packs.
func (x *ChunkIndex) Loosen(ctx context.Context, packs []string) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		for _, name := range packs {
			_, err := t.exec(ctx, `INSERT INTO loose (store_id, object_id) SELECT store_id, id FROM object
				WHERE store_id = $1 AND name = $2 AND state = 'live'`, x.store, name)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Extent returns how many objects a store must have, and their bytes.
func (x *ChunkIndex) Extent(ctx context.Context) (objects, bytes int64, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM object WHERE store_id = $1 AND state = 'live'`,
			x.store).Scan(&objects, &bytes)
	})
	return objects, bytes, err
}
