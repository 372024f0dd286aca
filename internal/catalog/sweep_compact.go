package catalog

import (
	"context"
	"database/sql"
	"slices"

	"ingot/internal/store"
)

// maxManifests is how many manifests a pack may serve and still be rewritten: all of them are read for that.
const maxManifests = 256

// Sparse returns packs that are worth a look: nothing pins them, something has let go of them, no manifest uses half of
// them, and nobody has put them off. What a damaged manifest relies on stays as it is: its list of chunks may be what is lost.
func (x *ChunkIndex) Sparse(ctx context.Context, limit int) (packs []store.SparsePack, err error) {
	// What one manifest uses half of is worth its room. One statement decides and deletes, so that a row that comes
	// meanwhile stays.
	err = x.c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM loose WHERE store_id = $1 AND (EXISTS (SELECT 1 FROM manifest_pack r
			JOIN object o ON o.id = r.object_id WHERE r.object_id = loose.object_id AND r.bytes * 2 >= o.size)
			OR (SELECT count(*) FROM manifest_pack r WHERE r.object_id = loose.object_id) > $2)`, x.store, maxManifests)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = x.c.read(ctx, func(t *tx) error {
		found, err := ids(ctx, t, `SELECT DISTINCT o.id FROM loose l JOIN object o ON o.id = l.object_id
			WHERE l.store_id = $1 AND o.state = 'live' AND o.until <= {{now}} AND NOT EXISTS (SELECT 1 FROM pin p WHERE p.object_id = o.id)
			AND EXISTS (SELECT 1 FROM manifest_pack r WHERE r.object_id = o.id)
			AND NOT EXISTS (SELECT 1 FROM manifest_pack r JOIN manifest m ON m.id = r.manifest_id
				WHERE r.object_id = o.id AND m.damaged) ORDER BY o.id LIMIT $2`, x.store, limit)
		if err != nil {
			return err
		}
		packs = make([]store.SparsePack, len(found))
		for i, id := range found {
			if err := describePack(ctx, t, id, &packs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return packs, err
}

func describePack(ctx context.Context, t *tx, id int64, p *store.SparsePack) error {
	if err := t.row(ctx, `SELECT name, size FROM object WHERE id = $1`, id).Scan(&p.Name, &p.Size); err != nil {
		return err
	}
	err := t.each(ctx, `SELECT m.id, o.name, m.digest FROM manifest_pack r JOIN manifest m ON m.id = r.manifest_id
		JOIN object o ON o.id = m.object_id WHERE r.object_id = $1 ORDER BY m.id`, []any{id}, func(rows *sql.Rows) error {
		m, err := scanManifest(rows)
		p.Manifests = append(p.Manifests, m)
		return err
	})
	if err != nil {
		return err
	}
	p.Chunks, err = chunksOf(ctx, t, id, p.Name)
	return err
}

func scanManifest(rows *sql.Rows) (m store.ManifestRef, err error) {
	var digest sql.RawBytes
	err = rows.Scan(&m.ID, &m.Object, &digest)
	copy(m.Digest[:], digest)
	return m, err
}

// chunksOf returns the chunks located in a pack, in the order of their bytes.
func chunksOf(ctx context.Context, t *tx, id int64, name string) (entries []store.Entry, err error) {
	err = t.each(ctx, `SELECT digest, off, stored, length, codec FROM chunk WHERE object_id = $1 ORDER BY off`, []any{id}, func(rows *sql.Rows) error {
		e := store.Entry{Location: store.Location{Pack: name}}
		var digest sql.RawBytes
		err := rows.Scan(&digest, &e.Offset, &e.Stored, &e.Length, &e.Codec)
		copy(e.Digest[:], digest)
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// Keep says that a pack is worth its room, unless a manifest has let go of it since it was described.
func (x *ChunkIndex) Keep(ctx context.Context, pack store.SparsePack) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		if err := lockManifests(ctx, t, []store.SparsePack{pack}); err != nil {
			return err
		}
		id, same, err := x.lockSame(ctx, t, pack)
		if err != nil || !same {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM loose WHERE store_id = $1 AND object_id = $2`, x.store, id)
		return err
	})
}

// lockPack locks a pack by its name, which a settling may give to another object, and returns its id; 0 if it is not
// live.
func (x *ChunkIndex) lockPack(ctx context.Context, t *tx, name string) (int64, error) {
	found, err := ids(ctx, t, `SELECT id FROM object WHERE store_id = $1 AND name = $2 AND state = 'live' {{for update}}`, x.store, name)
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

// lockSame locks a pack and says whether it is live, pinned by nobody and used by the manifests that it was described
// with, no others and no fewer.
func (x *ChunkIndex) lockSame(ctx context.Context, t *tx, pack store.SparsePack) (id int64, same bool, err error) {
	if id, err = x.lockPack(ctx, t, pack.Name); err != nil || id == 0 {
		return 0, false, err
	}
	var pinned bool
	if err := t.row(ctx, `SELECT EXISTS (SELECT 1 FROM pin WHERE object_id = $1)`, id).Scan(&pinned); err != nil || pinned {
		return 0, false, err
	}
	users, err := ids(ctx, t, `SELECT manifest_id FROM manifest_pack WHERE object_id = $1 ORDER BY manifest_id`, id)
	same = slices.EqualFunc(users, pack.Manifests, func(id int64, m store.ManifestRef) bool { return id == m.ID })
	return id, same, err
}

// Reserve registers a pack that a sweep is about to write.
func (x *ChunkIndex) Reserve(ctx context.Context, name string) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO object (store_id, name, kind, state, until) VALUES ($1, $2, $3, 'writing', {{now}} + $4)`,
			x.store, name, string(store.KindPack), int64(reserveFor))
		return err
	})
}

// Replace makes a durable pack known in place of others.
func (x *ChunkIndex) Replace(ctx context.Context, pack string, size int64, entries []store.Entry, old []store.SparsePack) (done bool, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		if err := lockManifests(ctx, t, old); err != nil {
			return err
		}
		var sources []int64
		for _, p := range old { // in the order of ids, as Sparse returned them
			id, same, err := x.lockSame(ctx, t, p)
			if err != nil {
				return err
			}
			if done = same; !same {
				return x.giveUp(ctx, t, pack)
			}
			sources = append(sources, id)
		}
		id, err := x.enlist(ctx, t, pack, size, lightBytes(entries))
		if err != nil {
			return err
		}
		return x.moveChunks(ctx, t, id, entries, sources)
	})
	return done && err == nil, err
}

// lockManifests keeps manifests from being dropped while their references move. One that is gone already shows when
// its packs are compared.
func lockManifests(ctx context.Context, t *tx, packs []store.SparsePack) error {
	var all []int64
	for _, p := range packs {
		for _, m := range p.Manifests {
			all = append(all, m.ID)
		}
	}
	slices.Sort(all)
	for in, args := range lists(slices.Compact(all)) {
		if _, err := ids(ctx, t, `SELECT id FROM manifest WHERE id IN (`+in+`) ORDER BY id {{for update}}`, args...); err != nil {
			return err
		}
	}
	return nil
}

// moveChunks moves chunks and references from packs to the one with this id, and ends the packs. All are locked.
func (x *ChunkIndex) moveChunks(ctx context.Context, t *tx, id int64, entries []store.Entry, sources []int64) error {
	if err := x.moveRows(ctx, t, entries, id, sources); err != nil {
		return err
	}
	args := []any{id}
	for _, s := range sources {
		args = append(args, s)
	}
	_, err := t.exec(ctx, `INSERT INTO manifest_pack (manifest_id, object_id, bytes)
		SELECT manifest_id, CAST($1 AS BIGINT), SUM(bytes) FROM manifest_pack WHERE object_id IN (`+list(2, len(sources))+`) GROUP BY manifest_id`, args...)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM manifest_pack WHERE object_id IN (`+list(1, len(sources))+`)`, args[1:]...); err != nil {
		return err
	}
	for _, s := range sources {
		if err := endPack(ctx, t, s); err != nil {
			return err
		}
	}
	return nil
}
