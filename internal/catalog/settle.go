package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ingot/internal/store"
)

const (
	// settleClaim is how long, in milliseconds, a pack is nobody else's to settle: many times what it takes.
	settleClaim = 5 * 60 * 1000

	// settlePage is how many packs are looked at for one that can be claimed.
	settlePage = 16

	// mayBeSettled is true for a pack that is worth it and that nobody is about to rely on or to copy.
	mayBeSettled = `object.light > 0 AND object.state = 'live' AND object.until <= {{now}} AND NOT ` + isHeld + `
		AND NOT EXISTS (SELECT 1 FROM pin p WHERE p.object_id = object.id)`
)

// lightBytes is how many bytes of a pack's chunks are compressed lightly.
func lightBytes(entries []store.Entry) (n int64) {
	for i := range entries {
		if entries[i].Codec == store.CodecS2 {
			n += int64(entries[i].Stored)
		}
	}
	return n
}

// ClaimUnsettled gives out a pack to be settled.
func (x *ChunkIndex) ClaimUnsettled(ctx context.Context, idle bool) (*store.UnsettledPack, error) {
	for after := int64(0); ; {
		candidates, err := x.unsettled(ctx, after, idle)
		if err != nil || len(candidates) == 0 {
			return nil, err
		}
		for _, id := range candidates {
			after = id
			if pack, err := x.claimPack(ctx, id); pack != nil || err != nil {
				return pack, err
			}
		}
	}
}

// unsettled returns packs that may be settled; none while a job runs, if idle matters.
func (x *ChunkIndex) unsettled(ctx context.Context, after int64, idle bool) (found []int64, err error) {
	err = x.c.read(ctx, func(t *tx) error {
		found = nil
		var busy bool
		err := t.row(ctx, `SELECT EXISTS (SELECT 1 FROM import WHERE state = 'running')
			OR EXISTS (SELECT 1 FROM replication WHERE state = 'running')`).Scan(&busy)
		if err != nil || busy && idle {
			return err
		}
		found, err = ids(ctx, t, `SELECT id FROM object WHERE store_id = $1 AND id > $2 AND `+mayBeSettled+` ORDER BY id LIMIT $3`,
			x.store, after, settlePage)
		return err
	})
	return found, err
}

// claimPack returns nil if another was faster.
func (x *ChunkIndex) claimPack(ctx context.Context, id int64) (pack *store.UnsettledPack, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		p := new(store.UnsettledPack)
		pack = nil
		err := t.row(ctx, `UPDATE object SET until = {{now}} + $2 WHERE id = $1 AND `+mayBeSettled+` RETURNING name, size`,
			id, int64(settleClaim)).Scan(&p.Name, &p.Size)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Chunks, err = chunksOf(ctx, t, id, p.Name)
		pack = p
		return err
	})
	if err != nil {
		return nil, err
	}
	return pack, nil
}

// PutOff ends the claim on a pack; nobody is given it for a while.
func (x *ChunkIndex) PutOff(ctx context.Context, pack string, during time.Duration) error {
	return x.c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE object SET until = {{now}} + $3 WHERE store_id = $1 AND name = $2 AND state = 'live'`,
			x.store, pack, during.Milliseconds())
		return err
	})
}

// Settle puts a durable pack in place of one that has the same chunks. The row of the old pack stays, under the name of
// the new one, so that nothing that refers to it is touched, however many manifests that are; and the row of the new
// pack becomes that of the old bytes, which are dead. Whoever looked a chunk up before and pins the pack after sees by
// the name that it must look again (see lockNamed).
func (x *ChunkIndex) Settle(ctx context.Context, pack string, size int64, entries []store.Entry, old store.UnsettledPack) (done bool, err error) {
	err = x.c.writeAside(ctx, func(t *tx) error {
		done = false
		id, err := x.lockPack(ctx, t, old.Name)
		if err != nil {
			return err
		}
		taken := id == 0
		if !taken {
			// In a statement of its own: it sees what was committed before the row was locked.
			err = t.row(ctx, `SELECT EXISTS (SELECT 1 FROM pin WHERE object_id = $1)
				OR EXISTS (SELECT 1 FROM object WHERE id = $1 AND `+isHeld+`)`, id).Scan(&taken)
		}
		if err != nil {
			return err
		}
		if taken {
			return x.giveUp(ctx, t, pack)
		}
		done = true
		if err := x.changeChunks(ctx, t, id, entries, old.Chunks); err != nil {
			return err
		}
		return x.changePlaces(ctx, t, id, pack, size, old)
	})
	return done && err == nil, err
}

// changeChunks notes where a pack's chunks are in the new one, and what of it each manifest uses: the bytes of all are
// reckoned down by the same factor, since which chunks are whose is not known here.
func (x *ChunkIndex) changeChunks(ctx context.Context, t *tx, id int64, entries, old []store.Entry) error {
	var located int
	if err := t.row(ctx, `SELECT count(*) FROM chunk WHERE object_id = $1`, id).Scan(&located); err != nil {
		return err
	}
	if located != len(entries) {
		return fmt.Errorf("%d chunks are to be settled where the pack has %d", len(entries), located)
	}
	var before, after int64
	for i := range old {
		before += int64(old[i].Stored)
	}
	for i := range entries {
		after += int64(entries[i].Stored)
	}
	if err := x.moveRows(ctx, t, entries, id, []int64{id}); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE manifest_pack SET bytes = (bytes * $2 + $3 - 1) / $3 WHERE object_id = $1`, id, after, before)
	return err
}

// changePlaces makes a pack's row name the new object, and the new object's row the old one.
func (x *ChunkIndex) changePlaces(ctx context.Context, t *tx, id int64, pack string, size int64, old store.UnsettledPack) error {
	var spare int64
	err := t.row(ctx, `UPDATE object SET name = '/' || name, state = 'dead', size = $3, until = 0 WHERE store_id = $1 AND name = $2
		AND state = 'writing' AND import_id IS NULL RETURNING id`, x.store, pack, old.Size).Scan(&spare)
	if err != nil {
		return fmt.Errorf("pack %s took too long to write: %w", pack, err)
	}
	if _, err := t.exec(ctx, `UPDATE object SET name = $2, size = $3, light = 0, until = 0 WHERE id = $1`, id, pack, size); err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE object SET name = $2 WHERE id = $1`, spare, old.Name)
	return err
}

// Unsettled returns how many packs of all stores are not settled yet, and their bytes.
func (c *Catalog) Unsettled(ctx context.Context) (packs, bytes int64, err error) {
	err = c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM object WHERE light > 0 AND state = 'live'`).
			Scan(&packs, &bytes)
	})
	return packs, bytes, err
}
