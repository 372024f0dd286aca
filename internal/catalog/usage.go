package catalog

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"ingot/internal/image"
)

// What an object of a store takes is divided among the images that rely on it, in proportion to the bytes that each
// needs of it; who else's they are makes no difference. Shares are cut at running sums, so that they add up to the
// object's size exactly, and all shares to what the stores hold for images.
//
// MINE stands for a query of the images that are asked about. Whoever else relies on the same objects is looked at as
// well, so the cost is that of all rows of manifest_pack for these objects.
const selectUsage = `WITH mine AS (MINE),
	pack AS (SELECT DISTINCT p.object_id FROM mine JOIN image_region r ON r.image_id = mine.id
		JOIN manifest_pack p ON p.manifest_id = r.manifest_id),
	named AS (SELECT DISTINCT r.manifest_id FROM mine JOIN image_region r ON r.image_id = mine.id),
	need AS (SELECT r.image_id, p.object_id, p.bytes FROM pack
			JOIN manifest_pack p ON p.object_id = pack.object_id
			JOIN image_region r ON r.manifest_id = p.manifest_id AND r.region = ONCE
		UNION ALL SELECT r.image_id, m.object_id, o.size FROM named
			JOIN manifest m ON m.id = named.manifest_id
			JOIN object o ON o.id = m.object_id
			JOIN image_region r ON r.manifest_id = m.id AND r.region = ONCE),
	part AS (SELECT n.image_id, n.bytes, CAST(o.size AS DOUBLE PRECISION) AS size,
			sum(n.bytes) OVER (PARTITION BY n.object_id ORDER BY n.image_id) AS upto,
			sum(n.bytes) OVER (PARTITION BY n.object_id) AS whole
		FROM need n JOIN object o ON o.id = n.object_id),
	own AS (SELECT image_id, bytes, CAST(round(size * upto / whole) AS BIGINT)
			- CAST(round(size * (upto - bytes) / whole) AS BIGINT) AS stored FROM part),
	held AS (SELECT image_id, CAST(sum(stored) AS BIGINT) AS stored,
			CAST(sum(CASE WHEN bytes > stored THEN bytes - stored ELSE 0 END) AS BIGINT) AS shared
		FROM own GROUP BY image_id),
	used AS (SELECT i.id, i.name, i.account_id, i.data_size AS logical, coalesce(h.stored, 0) AS stored,
			coalesce(h.shared, 0) AS shared
		FROM mine JOIN image i ON i.id = mine.id LEFT JOIN held h ON h.image_id = i.id)
	`

// once picks one of the regions in which an image has the manifest.
const once = `(SELECT min(x.region) FROM image_region x WHERE x.image_id = r.image_id AND x.manifest_id = r.manifest_id)`

const (
	usageColumns = `CAST(coalesce(sum(u.logical), 0) AS BIGINT), CAST(coalesce(sum(u.stored), 0) AS BIGINT),
		CAST(coalesce(sum(u.shared), 0) AS BIGINT)`

	keptImages = `SELECT id FROM image WHERE removed_at IS NULL AND status <> 'deleted'`
)

func usageOf(mine, rest string) string {
	return strings.NewReplacer("MINE", mine, "ONCE", once).Replace(selectUsage) + rest
}

// Usage returns what an account's images hold, and one page of them by id, those that are being imported included.
func (c *Catalog) Usage(ctx context.Context, account int64, p image.Page) (total image.Usage, images []image.ImageUsage, err error) {
	own := keptImages + ` AND account_id = $1`
	err = c.read(ctx, func(t *tx) error {
		images = nil
		if total, err = c.total(ctx, t, account, own); err != nil {
			return err
		}
		skip := int64(p.Number-1) * int64(p.Size)
		if skip >= total.Images {
			return nil
		}
		return t.each(ctx, usageOf(own+` ORDER BY id LIMIT $2 OFFSET $3`,
			`SELECT id, name, logical, stored, shared FROM used ORDER BY id`), []any{account, p.Size, skip},
			func(rows *sql.Rows) error {
				u := image.ImageUsage{Usage: image.Usage{Images: 1}}
				err := rows.Scan(&u.ID, &u.Name, &u.Logical, &u.Stored, &u.Shared)
				images = append(images, u)
				return err
			})
	})
	return total, images, err
}

// total returns what an account's images hold. Where that is slow to add up, the bytes are those of some minutes ago at most.
func (c *Catalog) total(ctx context.Context, t *tx, account int64, own string) (total image.Usage, err error) {
	begun := time.Now()
	if total, ok := c.totals.get(account, begun); ok {
		err := t.row(ctx, `SELECT count(*) FROM (`+own+`) AS mine`, account).Scan(&total.Images)
		return total, err
	}
	err = t.row(ctx, usageOf(own, `SELECT count(*), `+usageColumns+` FROM used u`), account).
		Scan(&total.Images, &total.Logical, &total.Stored, &total.Shared)
	if err == nil {
		now := time.Now()
		c.totals.put(account, total, now.Sub(begun), now)
	}
	return total, err
}

// UsageByAccount returns what the images of each account hold, and how many bytes the stores hold for no image (yet or
// any more): imports that run, and what waits for a sweep.
func (c *Catalog) UsageByAccount(ctx context.Context) (accounts []image.AccountUsage, other int64, err error) {
	err = c.read(ctx, func(t *tx) error {
		accounts = nil
		err := t.each(ctx, usageOf(keptImages, `SELECT a.name, count(u.id), `+usageColumns+`
			FROM account a LEFT JOIN used u ON u.account_id = a.id GROUP BY a.id, a.name ORDER BY a.id`), nil,
			func(rows *sql.Rows) error {
				var u image.AccountUsage
				err := rows.Scan(&u.Name, &u.Images, &u.Logical, &u.Stored, &u.Shared)
				accounts = append(accounts, u)
				return err
			})
		if err != nil {
			return err
		}
		if err := t.row(ctx, `SELECT CAST(coalesce(sum(size), 0) AS BIGINT) FROM object`).Scan(&other); err != nil {
			return err
		}
		for _, u := range accounts {
			other -= u.Stored
		}
		return nil
	})
	return accounts, other, err
}
