package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"ingot/internal/image"
)

// shelf names an ordered set of images. Every list of the API is one shelf or two, one behind the other, so that a
// list costs the same whatever is filtered, and its total is the sum of kept counts.
type shelf struct {
	class int64
	owner int64 // an account, a tag or 0, by class
}

// The classes of shelves. The values stand in the database and never change.
const (
	shelfPublic         = 1 // all public images; no owner
	shelfDistribution   = 2 // those of a kind
	shelfApplication    = 3
	shelfOwn            = 4 // an account's images that are not public
	shelfTagPublic      = 5 // a tag's images: public, …
	shelfTagDistro      = 6 // … of a kind, …
	shelfTagApplication = 7
	shelfTagOwn         = 8 // … not public, …
	shelfTagUnlisted    = 9 // … and in no list: retired, or its import failed
)

// blockSize is the length of a stretch of ids whose images are counted together. A total is the sum of one count a
// stretch, and a page is found by skipping whole stretches and then fewer than blockSize entries of an index.
const blockSize = 4096

// kindShelf returns the class of a kind's shelf, given those of distributions and applications; 0 for no kind.
func kindShelf(kind string, distribution, application int64) int64 {
	switch kind {
	case image.KindDistribution:
		return distribution
	case image.KindApplication:
		return application
	}
	return 0
}

// shelves returns where an image stands, given the ids of its tags.
func (r record) shelves(tags []int64) []shelf {
	var all []shelf
	add := func(class, owner int64) {
		if class != 0 {
			all = append(all, shelf{class, owner})
		}
	}
	listed := r.Status != image.Deleted && r.Status != image.Retired
	switch {
	case r.removed:
		return nil
	case listed && r.Public:
		add(shelfPublic, 0)
		add(kindShelf(r.Kind, shelfDistribution, shelfApplication), 0)
	case listed:
		add(shelfOwn, r.AccountID)
	}
	for _, tag := range tags {
		switch {
		case listed && r.Public:
			add(shelfTagPublic, tag)
			add(kindShelf(r.Kind, shelfTagDistro, shelfTagApplication), tag)
		case listed:
			add(shelfTagOwn, tag)
		default:
			add(shelfTagUnlisted, tag)
		}
	}
	return all
}

// restock moves an image from where it stood to where it belongs. Shelves are taken in one order, so that two
// transactions never wait for each other.
func restock(ctx context.Context, t *tx, id int64, from, to []shelf) error {
	all := slices.Concat(from, to)
	slices.SortFunc(all, func(a, b shelf) int {
		if a.class != b.class {
			return int(a.class - b.class)
		}
		return int(a.owner - b.owner)
	})
	for _, s := range slices.Compact(all) {
		var err error
		switch was, is := slices.Contains(from, s), slices.Contains(to, s); {
		case is && !was:
			err = s.put(ctx, t, id)
		case was && !is:
			err = s.take(ctx, t, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s shelf) put(ctx context.Context, t *tx, id int64) error {
	n, err := t.exec(ctx, `INSERT INTO shelf (class, owner, image_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		s.class, s.owner, id)
	if err != nil || n == 0 {
		return err
	}
	return s.count(ctx, t, id, 1)
}

func (s shelf) take(ctx context.Context, t *tx, id int64) error {
	n, err := t.exec(ctx, `DELETE FROM shelf WHERE class = $1 AND owner = $2 AND image_id = $3`,
		s.class, s.owner, id)
	if err != nil || n == 0 {
		return err
	}
	return s.count(ctx, t, id, -1)
}

func (s shelf) count(ctx context.Context, t *tx, id, n int64) error {
	_, err := t.exec(ctx, `INSERT INTO shelf_count (class, owner, block, n) VALUES ($1, $2, $3, $4)
		ON CONFLICT (class, owner, block) DO UPDATE SET n = shelf_count.n + excluded.n`,
		s.class, s.owner, id/blockSize, n)
	return err
}

// total returns how many images stand on the shelf.
func (s shelf) total(ctx context.Context, t *tx) (n int64, err error) {
	err = t.row(ctx, `SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM shelf_count WHERE class = $1 AND owner = $2`,
		s.class, s.owner).Scan(&n)
	return n, err
}

// images returns n images of the shelf, in its order, after the first skip ones.
func (s shelf) images(ctx context.Context, t *tx, skip, n int64) ([]record, error) {
	var block, before int64
	if skip > 0 {
		err := t.row(ctx, `SELECT block, before FROM (
				SELECT block, CAST(sum(n) OVER (ORDER BY block) - n AS BIGINT) AS before
				FROM shelf_count WHERE class = $1 AND owner = $2) AS b
			WHERE before <= $3 ORDER BY block DESC LIMIT 1`, s.class, s.owner, skip).Scan(&block, &before)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	var page []record
	err := t.each(ctx, `SELECT `+imageColumns+` FROM (
			SELECT image_id FROM shelf WHERE class = $1 AND owner = $2 AND image_id >= $3
			ORDER BY image_id LIMIT $4 OFFSET $5) AS s
		JOIN image i ON i.id = s.image_id ORDER BY i.id`,
		[]any{s.class, s.owner, block * blockSize, n, skip - before}, func(rows *sql.Rows) error {
			r, err := scanImage(rows.Scan)
			page = append(page, r)
			return err
		})
	return page, err
}
