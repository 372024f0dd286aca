package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ingot/internal/store"
)

// ChunkIndex is the chunk index of one store.
//
// What keeps a sweep and an import apart, on both engines: whoever begins to rely on a pack (Find, Add) locks the
// pack's row, sees it live, and leaves a pin before the lock goes; whoever ends a pack (Condemn, Replace) locks the
// row, and only then, in a statement of its own, looks for pins and references. So one of the two comes first: either
// the sweep sees the pin, or the import sees a pack that is not live and asks again, to find the chunk moved or
// gone. Publication turns pins into references in one transaction, so that a sweep sees the one or the other.
// SQLite's single writer gives the same without locks: there {{for update}} is empty.
//
// On PostgreSQL rows are locked in the order import, manifest, objects by id; where two transactions meet the wrong
// way round all the same (foreign keys lock too), one is run again (see write).
type ChunkIndex struct {
	c     *Catalog
	store int64
}

var _ store.Catalog = (*ChunkIndex)(nil)

// Index returns the chunk index of a store.
func (c *Catalog) Index(storeID int64) *ChunkIndex { return &ChunkIndex{c: c, store: storeID} }

// Begin registers an object that the owner is about to write.
func (x *ChunkIndex) Begin(ctx context.Context, o store.Owner, kind store.Kind, name string) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		if err := holdLease(ctx, t, o.Import, o.Lease); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO object (store_id, name, kind, state, import_id, lease)
			VALUES ($1, $2, $3, 'writing', $4, $5)`, x.store, name, string(kind), o.Import, o.Lease)
		return err
	})
}

// findTries bounds how often Find looks again because a sweep took a pack between its reading and its pinning.
const findTries = 10

// Find returns where each chunk is, and pins the packs for the owner. Most of the time all are pinned already: then it
// only reads.
func (x *ChunkIndex) Find(ctx context.Context, o store.Owner, digests []store.Digest) ([]store.Location, error) {
	for range findTries {
		found, unpinned, err := x.look(ctx, o, digests)
		if err != nil || len(unpinned) == 0 {
			return found, err
		}
		pinned, err := x.pin(ctx, o, unpinned)
		if err != nil || pinned {
			return found, err
		}
	}
	return nil, errors.New("the chunk index: packs vanish faster than they can be pinned")
}

// look returns the locations and the packs among them that the owner has not pinned yet.
func (x *ChunkIndex) look(ctx context.Context, o store.Owner, digests []store.Digest) (found []store.Location, unpinned []packRow, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		found, unpinned = make([]store.Location, len(digests)), nil
		if err := seeLease(ctx, t, o); err != nil {
			return err
		}
		return x.rows(ctx, t, o.Import, digests, func(i int, r *chunkRow) {
			found[i] = r.Location
			if p := (packRow{r.pack, r.Pack}); !r.pinned && !slices.Contains(unpinned, p) {
				unpinned = append(unpinned, p)
			}
		})
	})
	return found, unpinned, err
}

// pin pins packs for the owner, all of them or, if one is no longer what it was, none.
func (x *ChunkIndex) pin(ctx context.Context, o store.Owner, packs []packRow) (pinned bool, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		if err := holdLease(ctx, t, o.Import, o.Lease); err != nil {
			return err
		}
		live, err := lockNamed(ctx, t, packs)
		if pinned = len(live) == len(packs); err != nil || !pinned {
			return err
		}
		return insertPins(ctx, t, o.Import, live)
	})
	return pinned && err == nil, err
}

// Locate returns where each chunk is.
func (x *ChunkIndex) Locate(ctx context.Context, digests []store.Digest) (found []store.Location, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		found = make([]store.Location, len(digests))
		return x.rows(ctx, t, 0, digests, func(i int, r *chunkRow) { found[i] = r.Location })
	})
	return found, err
}

// Add makes the chunks of a durable pack known.
func (x *ChunkIndex) Add(ctx context.Context, o store.Owner, pack string, size int64, entries []store.Entry) (valid []store.Location, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		if err := holdLease(ctx, t, o.Import, o.Lease); err != nil {
			return err
		}
		id, err := x.finish(ctx, t, pack, size, lightBytes(entries), o)
		if err != nil {
			return err
		}
		if err := insertPins(ctx, t, o.Import, []int64{id}); err != nil {
			return err
		}
		a := adding{x: x, t: t, owner: o, pack: id, entries: entries, valid: make([]store.Location, len(entries))}
		valid = a.valid
		return a.run(ctx)
	})
	return valid, err
}

// finish makes a pack live that the owner has written, and returns its id. A pack that a sweep has given up is none:
// that happens only to one whose owner had lost its lease.
func (x *ChunkIndex) finish(ctx context.Context, t *tx, name string, size, light int64, o store.Owner) (id int64, err error) {
	err = t.row(ctx, `UPDATE object SET state = 'live', size = $3, light = $6
		WHERE store_id = $1 AND name = $2 AND state = 'writing' AND import_id = $4 AND lease = $5 RETURNING id`,
		x.store, name, size, o.Import, o.Lease, light).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("object %s is not being written under this lease: %w", name, err)
	}
	return id, nil
}
