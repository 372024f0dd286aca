package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"ingot/internal/image"
)

// The images that a tag's count counts are those that a list with the tag shows.
var selectTag = fmt.Sprintf(`SELECT t.name, (SELECT CAST(coalesce(sum(s.n), 0) AS BIGINT) FROM shelf_count s
		WHERE s.class IN (%d, %d) AND s.owner = t.id) FROM tag t `, shelfTagPublic, shelfTagOwn)

func scanTag(scan func(...any) error) (tag image.Tag, err error) {
	err = scan(&tag.Name, &tag.Images)
	return tag, err
}

// CreateTag makes a tag, unless the account has one of the name, in any capitalisation; that is returned then.
func (c *Catalog) CreateTag(ctx context.Context, account int64, name string) (image.Tag, error) {
	var tag image.Tag
	err := c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		_, ids, err := ensureTags(ctx, t, account, []string{name})
		if err != nil {
			return err
		}
		tag, err = scanTag(t.row(ctx, selectTag+`WHERE t.id = $1`, ids[0]).Scan)
		return err
	})
	return tag, err
}

// Tag returns one of the account's tags, in any capitalisation, or image.ErrNotFound.
func (c *Catalog) Tag(ctx context.Context, account int64, name string) (image.Tag, error) {
	var tag image.Tag
	err := c.read(ctx, func(t *tx) error {
		id, _, err := findTag(ctx, t, account, name)
		if err != nil {
			return err
		}
		tag, err = scanTag(t.row(ctx, selectTag+`WHERE t.id = $1`, id).Scan)
		return err
	})
	return tag, missing(err)
}

// ListTags returns a page of the account's tags, by name, and how many there are in all.
func (c *Catalog) ListTags(ctx context.Context, account int64, p image.Page) ([]image.Tag, int64, error) {
	var page []image.Tag
	var total int64
	err := c.read(ctx, func(t *tx) error {
		page = nil
		if err := t.row(ctx, `SELECT count(*) FROM tag WHERE account_id = $1`, account).Scan(&total); err != nil {
			return err
		}
		return t.each(ctx, selectTag+`WHERE t.account_id = $1 ORDER BY t.folded LIMIT $2 OFFSET $3`,
			[]any{account, p.Size, int64(p.Number-1) * int64(p.Size)}, func(rows *sql.Rows) error {
				tag, err := scanTag(rows.Scan)
				page = append(page, tag)
				return err
			})
	})
	return page, total, err
}

// TagImages puts a tag on images of the account: on all of them or, with an error, on none. An unknown tag or image is
// image.ErrNotFound.
func (c *Catalog) TagImages(ctx context.Context, account int64, name string, images []int64) error {
	return c.eachTagged(ctx, account, name, images, func(t *tx, r record, spelt string) error {
		if slices.Contains(r.Tags, spelt) {
			return nil
		}
		if len(r.Tags) >= image.MaxTags {
			return invalid("Image %d has %d tags; no more will do.", r.ID, len(r.Tags))
		}
		return setTags(ctx, t, r, append(slices.Clone(r.Tags), spelt))
	})
}

// UntagImages takes a tag off images of the account, as TagImages puts it on. It is no error that an image does not
// have it.
func (c *Catalog) UntagImages(ctx context.Context, account int64, name string, images []int64) error {
	return c.eachTagged(ctx, account, name, images, func(t *tx, r record, spelt string) error {
		return untag(ctx, t, r, spelt)
	})
}

func (c *Catalog) eachTagged(ctx context.Context, account int64, name string, images []int64, do func(t *tx, r record, spelt string) error) error {
	return c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		_, spelt, err := findTag(ctx, t, account, name)
		if err != nil {
			return missing(err)
		}
		for _, id := range images {
			r, err := ownImage(ctx, t, account, id)
			if err == nil && r.removed {
				err = image.ErrNotFound
			}
			if err != nil {
				return err
			}
			if err := do(t, r, spelt); err != nil {
				return err
			}
		}
		return nil
	})
}

func untag(ctx context.Context, t *tx, r record, spelt string) error {
	if !slices.Contains(r.Tags, spelt) {
		return nil
	}
	return setTags(ctx, t, r, slices.DeleteFunc(slices.Clone(r.Tags), func(s string) bool { return s == spelt }))
}

// setTags gives an image these tags of its account, all of which exist.
func setTags(ctx context.Context, t *tx, r record, names []string) error {
	former, err := r.tagIDs(ctx, t)
	if err != nil {
		return err
	}
	before := r.shelves(former)
	r.Tags = slices.Sorted(slices.Values(names))
	tags, err := r.tagIDs(ctx, t)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE image SET tags = $1 WHERE id = $2`, toJSON(r.Tags), r.ID); err != nil {
		return err
	}
	return restock(ctx, t, r.ID, before, r.shelves(tags))
}

// untagAtOnce is how many images one transaction takes a tag off, so that others get their turn between two.
const untagAtOnce = 500

// DeleteTag deletes a tag and takes it off its images. With many images that takes several transactions; one that is
// interrupted is completed by asking again.
func (c *Catalog) DeleteTag(ctx context.Context, account int64, name string) error {
	var tag int64
	err := c.read(ctx, func(t *tx) (err error) {
		tag, _, err = findTag(ctx, t, account, name)
		return err
	})
	for more := true; more && err == nil; {
		more, err = c.deleteTag(ctx, account, tag)
	}
	return missing(err)
}

// deleteTag takes a tag off some images, and deletes it where these were the last.
func (c *Catalog) deleteTag(ctx context.Context, account, tag int64) (more bool, err error) {
	err = c.write(ctx, func(t *tx) error {
		more = false
		if _, err := lockAccount(ctx, t, account); err != nil {
			return err
		}
		var spelt string
		err := t.row(ctx, `SELECT name FROM tag WHERE id = $1`, tag).Scan(&spelt)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // by somebody else, at this moment
		}
		if err != nil {
			return err
		}
		images, err := ids(ctx, t, `SELECT image_id FROM shelf WHERE class IN ($1, $2, $3) AND owner = $4 LIMIT $5`,
			shelfTagPublic, shelfTagOwn, shelfTagUnlisted, tag, untagAtOnce)
		if err != nil {
			return err
		}
		for _, id := range images {
			r, err := getImage(ctx, t, id)
			if err != nil {
				return err
			}
			if err := untag(ctx, t, r, spelt); err != nil {
				return err
			}
		}
		if more = len(images) == untagAtOnce; more {
			return nil
		}
		if _, err := t.exec(ctx, `DELETE FROM shelf_count WHERE class BETWEEN $1 AND $2 AND owner = $3`, shelfTagPublic, shelfTagUnlisted, tag); err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM tag WHERE id = $1`, tag)
		return err
	})
	return more, err
}
