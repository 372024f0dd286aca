package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ingot/internal/refusal"
)

// SetRegions says which regions the service has and in which store each keeps its images, and returns the stores' ids
// by slug. A region whose images, running imports, or transfers are in another store is refused: they would be out of reach.
// Regions that are not named take no new images any more.
func (c *Catalog) SetRegions(ctx context.Context, regions map[string]string) (map[string]int64, error) {
	return c.setRegions(ctx, regions, true)
}

// JoinRegions is SetRegions for one of several processes: regions that differ from those of the last start are refused,
// since other processes may be running with them.
func (c *Catalog) JoinRegions(ctx context.Context, regions map[string]string) (map[string]int64, error) {
	return c.setRegions(ctx, regions, false)
}

func (c *Catalog) setRegions(ctx context.Context, regions map[string]string, change bool) (map[string]int64, error) {
	var ids map[string]int64
	err := c.write(ctx, func(t *tx) error {
		ids = map[string]int64{}
		if t.d.shared { // or two first starts at once would both find no regions to differ from
			if _, err := t.exec(ctx, `LOCK TABLE region IN SHARE ROW EXCLUSIVE MODE`); err != nil {
				return err
			}
		}
		if !change {
			if err := sameRegions(ctx, t, regions); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `UPDATE region SET active = FALSE`); err != nil {
			return err
		}
		for _, slug := range slices.Sorted(maps.Keys(regions)) {
			id, err := storeID(ctx, t, regions[slug])
			if err != nil {
				return err
			}
			if err := setRegion(ctx, t, slug, id); err != nil {
				return err
			}
			ids[slug] = id
		}
		// A store that a start named by mistake, and that nothing was ever written to, is not asked for again.
		_, err := t.exec(ctx, `DELETE FROM store WHERE mark = '' AND NOT EXISTS (SELECT 1 FROM region r WHERE r.store_id = store.id)
			AND NOT EXISTS (SELECT 1 FROM object o WHERE o.store_id = store.id)`)
		return err
	})
	return ids, err
}

// sameRegions returns an error that names a difference to the regions of the last start, if there was one.
func sameRegions(ctx context.Context, t *tx, regions map[string]string) error {
	known := map[string]string{}
	err := t.each(ctx, `SELECT r.slug, s.url FROM region r JOIN store s ON s.id = r.store_id WHERE r.active`, nil, func(rows *sql.Rows) error {
		var slug, url string
		err := rows.Scan(&slug, &url)
		known[slug] = url
		return err
	})
	if err != nil || len(known) == 0 || maps.Equal(known, regions) {
		return err
	}
	of := func(m map[string]string, slug string) string { return cmp.Or(m[slug], "none") }
	for _, slug := range slices.Sorted(maps.Keys(known)) {
		if known[slug] != regions[slug] {
			return differs(slug, of(known, slug), of(regions, slug))
		}
	}
	for _, slug := range slices.Sorted(maps.Keys(regions)) {
		if known[slug] == "" {
			return differs(slug, "none", regions[slug])
		}
	}
	return nil
}

func differs(slug, theirs, ours string) error {
	return refusal.New("regions_differ", "The processes of this service have the store %s for region %s, and this one has %s. Start all of them with the "+
		"same --store and --region; to change them, stop all processes and start one with --reconfigure. If this is meant to be another "+
		"service, give it a database of its own.", theirs, slug, ours)
}

func storeID(ctx context.Context, t *tx, url string) (id int64, err error) {
	_, err = t.exec(ctx, `INSERT INTO store (url) VALUES ($1) ON CONFLICT (url) DO NOTHING`, url)
	if err != nil {
		return 0, err
	}
	err = t.row(ctx, `SELECT id FROM store WHERE url = $1`, url).Scan(&id)
	return id, err
}

func setRegion(ctx context.Context, t *tx, slug string, store int64) error {
	var former string
	err := t.row(ctx, `SELECT s.url FROM region r JOIN store s ON s.id = r.store_id
		WHERE r.slug = $1 AND r.store_id <> $2 AND (
			EXISTS (SELECT 1 FROM image_region i WHERE i.region = r.slug) OR
			EXISTS (SELECT 1 FROM import i WHERE i.region = r.slug AND i.state = 'running') OR
			EXISTS (SELECT 1 FROM replication i WHERE i.region = r.slug AND (i.state = 'queued' OR i.state = 'running')))`, slug, store).Scan(&former)
	if err == nil {
		return fmt.Errorf("region %s has images in the store %s and cannot be moved to another: start the service "+
			"with that store, or with the database that belongs to the new one", slug, former)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = t.exec(ctx, `INSERT INTO region (slug, store_id, active) VALUES ($1, $2, TRUE)
		ON CONFLICT (slug) DO UPDATE SET store_id = excluded.store_id, active = TRUE`, slug, store)
	return err
}

// regionStore returns the id of a region's store; sql.ErrNoRows if no service has such a region.
func regionStore(ctx context.Context, t *tx, slug string) (id int64, err error) {
	err = t.row(ctx, `SELECT store_id FROM region WHERE slug = $1 AND active`, slug).Scan(&id)
	return id, err
}

// Regions returns the regions that the service which started last has, with the ids of their stores.
func (c *Catalog) Regions(ctx context.Context) (map[string]int64, error) {
	var stores map[string]int64
	err := c.read(ctx, func(t *tx) error {
		stores = map[string]int64{}
		return t.each(ctx, `SELECT slug, store_id FROM region WHERE active`, nil, func(rows *sql.Rows) error {
			var slug string
			var store int64
			err := rows.Scan(&slug, &store)
			stores[slug] = store
			return err
		})
	})
	return stores, err
}

// Stores returns the URL of every store that a service was ever started with, by id.
func (c *Catalog) Stores(ctx context.Context) (map[int64]string, error) {
	var urls map[int64]string
	err := c.read(ctx, func(t *tx) error {
		urls = map[int64]string{}
		return t.each(ctx, `SELECT id, url FROM store`, nil, func(rows *sql.Rows) error {
			var id int64
			var url string
			if err := rows.Scan(&id, &url); err != nil {
				return err
			}
			urls[id] = url
			return nil
		})
	})
	return urls, err
}

// MarkedStore returns the id of the store that has a mark, 0 if none has.
func (c *Catalog) MarkedStore(ctx context.Context, mark string) (id int64, err error) {
	err = c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT coalesce(max(id), 0) FROM store WHERE mark = $1`, mark).Scan(&id)
	})
	return id, err
}
