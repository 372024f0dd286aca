package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"ingot/internal/refusal"
	"ingot/internal/store"
)

// publishManifest makes what a job wrote something that images may name, and turns the job's pins into references,
// under its lease, which the transaction holds. Where the store has the same content already, that is used, and the new
// manifest's object is dead; unless a check found that content damaged: then it has come back, and all its images with it.
func publishManifest(ctx context.Context, t *tx, storeID int64, owner store.Owner, w store.Written) (manifestID int64, err error) {
	var mine, used int64
	var damaged bool
	err = t.row(ctx, `SELECT id FROM object WHERE store_id = $1 AND name = $2 AND state = 'writing' AND import_id = $3
		AND lease = $4`, storeID, w.Object, owner.Import, owner.Lease).Scan(&mine)
	if err != nil {
		return 0, fmt.Errorf("manifest %s is not this job's: %w", w.Object, err)
	}
	// The update of what is there locks it against dropManifest.
	err = t.row(ctx, `INSERT INTO manifest (store_id, digest, object_id, guest_size, data_size) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (store_id, digest) DO UPDATE SET digest = excluded.digest RETURNING id, object_id, damaged`,
		storeID, w.Manifest[:], mine, w.GuestSize, w.DataBytes).Scan(&manifestID, &used, &damaged)
	if err != nil {
		return 0, err
	}
	state := "live"
	if used != mine && !damaged {
		state = "dead"
	}
	if _, err := t.exec(ctx, `UPDATE object SET state = $2, size = $3 WHERE id = $1`, mine, state, w.Size); err != nil {
		return 0, err
	}
	// What is there already may rely on other packs: on those that a check is about to find damaged.
	if err := referToPacks(ctx, t, storeID, owner.Import, manifestID, w.Packs); err != nil {
		return 0, err
	}
	if used != mine && damaged {
		if err := recast(ctx, t, manifestID, used, mine); err != nil {
			return 0, err
		}
		if err := judge(ctx, t, manifestID, false); err != nil {
			return 0, err
		}
	}
	return manifestID, releasePins(ctx, t, owner.Import)
}

// referToPacks writes down what a manifest relies on, all of which the import must have pinned. The packs are locked, so
// that a repair that ends one (see Mend) comes before and shows, or comes after and moves the references.
func referToPacks(ctx context.Context, t *tx, storeID, importID, manifestID int64, packs map[string]int64) error {
	var pinned []packRow
	used := make(map[int64]int64, len(packs)) // by id
	err := t.each(ctx, `SELECT o.id, o.name FROM pin p JOIN object o ON o.id = p.object_id
		WHERE p.import_id = $1 AND o.store_id = $2 AND o.state = 'live'`, []any{importID, storeID}, func(rows *sql.Rows) error {
		var p packRow
		err := rows.Scan(&p.id, &p.name)
		if n, ok := packs[p.name]; ok {
			pinned, used[p.id] = append(pinned, p), n
		}
		return err
	})
	if err != nil {
		return err
	}
	live, err := lockNamed(ctx, t, pinned)
	if err != nil {
		return err
	}
	if len(live) != len(packs) {
		cause := fmt.Errorf("import %d has pinned %d of the %d packs that its manifest needs", importID, len(live), len(packs))
		return refusal.Passing(cause, "store_repaired", "The service's store was repaired while the image was imported. The import is tried again.")
	}
	bytes := make([]int64, len(live))
	for i, id := range live {
		bytes[i] = used[id]
	}
	return refer(ctx, t, manifestID, live, bytes)
}

// releasePins gives up what an import has pinned, when it has ended or after it published. The sweep looks at packs
// that nothing names, and at the import's own, of which another may use a part.
func releasePins(ctx context.Context, t *tx, importID int64) error {
	_, err := t.exec(ctx, `INSERT INTO loose (store_id, object_id)
		SELECT o.store_id, o.id FROM pin p JOIN object o ON o.id = p.object_id
		WHERE p.import_id = $1 AND (o.import_id = $1 OR NOT EXISTS (SELECT 1 FROM manifest_pack r WHERE r.object_id = o.id))`, importID)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `DELETE FROM pin WHERE import_id = $1`, importID)
	return err
}

// dropManifest gives up a manifest that an image named, unless another image still does. The image's own rows of
// image_region must be gone.
func dropManifest(ctx context.Context, t *tx, manifestID int64) error {
	var object int64
	err := t.row(ctx, `SELECT object_id FROM manifest WHERE id = $1 {{for update}}`, manifestID).Scan(&object)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var named bool
	if err := t.row(ctx, `SELECT EXISTS (SELECT 1 FROM image_region WHERE manifest_id = $1)`, manifestID).Scan(&named); err != nil || named {
		return err
	}
	for _, statement := range []string{
		`INSERT INTO loose (store_id, object_id) SELECT o.store_id, o.id FROM manifest_pack r JOIN object o ON o.id = r.object_id
			WHERE r.manifest_id = $1`,
		`DELETE FROM manifest_pack WHERE manifest_id = $1`,
		`DELETE FROM manifest WHERE id = $1`,
	} {
		if _, err := t.exec(ctx, statement, manifestID); err != nil {
			return err
		}
	}
	_, err = t.exec(ctx, `UPDATE object SET state = 'dead' WHERE id = $1`, object)
	return err
}
