package catalog

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"ingot/internal/image"
)

// ListImages returns a page of the images that the account sees and the filter selects, and how many there are on all
// pages. Public images come first, then the account's own, by id within each. Filter.Private selects those of the
// account that are not public. Callers share what is returned and must not change it.
func (c *Catalog) ListImages(ctx context.Context, account int64, f image.Filter, p image.Page) ([]image.Image, int64, error) {
	list, err := remembered(ctx, c, func(k *cache) *recent[pageKey, pageOfImages] { return k.pages }, scope(account),
		pageKey{account, f, p}, func() (pageOfImages, error) { return c.readPage(ctx, account, f, p) })
	return list.images, list.total, err
}

func (c *Catalog) readPage(ctx context.Context, account int64, f image.Filter, p image.Page) (pageOfImages, error) {
	var rows []record
	var total int64
	err := c.read(ctx, func(t *tx) error {
		shelves, err := shelvesFor(ctx, t, account, f)
		if err != nil {
			return err
		}
		rows, total, err = pageOf(ctx, t, shelves, p)
		return err
	})
	images := make([]image.Image, 0, len(rows))
	for _, r := range rows {
		if seen, err := r.seenBy(account); err == nil {
			images = append(images, seen)
		}
	}
	return pageOfImages{images, total}, err
}

// pageOf returns a page of what stands on several shelves, one behind the other, and how much stands on all of them.
func pageOf(ctx context.Context, t *tx, shelves []shelf, p image.Page) (rows []record, total int64, err error) {
	size := int64(max(p.Size, 1))
	skip := int64(math.MaxInt64)
	if before := int64(max(p.Number, 1)) - 1; before < math.MaxInt64/size {
		skip = before * size
	}
	for _, s := range shelves {
		n, err := s.total(ctx, t)
		if err != nil {
			return nil, 0, err
		}
		total += n
		if want := min(n-skip, size-int64(len(rows))); want > 0 {
			part, err := s.images(ctx, t, skip, want)
			if err != nil {
				return nil, 0, err
			}
			rows = append(rows, part...)
		}
		skip = max(skip-n, 0)
	}
	return rows, total, nil
}

// shelvesFor returns the shelves whose images a filter selects, in the list's order.
func shelvesFor(ctx context.Context, t *tx, account int64, f image.Filter) ([]shelf, error) {
	public, own := shelf{shelfPublic, 0}, shelf{shelfOwn, account}
	kind := shelf{kindShelf(f.Kind, shelfDistribution, shelfApplication), 0}
	if f.Tag != "" {
		if image.ValidateTag("tag_name", f.Tag) != nil {
			return nil, nil
		}
		tag, _, err := findTag(ctx, t, account, f.Tag)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		public, own = shelf{shelfTagPublic, tag}, shelf{shelfTagOwn, tag}
		kind = shelf{kindShelf(f.Kind, shelfTagDistro, shelfTagApplication), tag}
	}
	switch {
	case f.Kind != "" && f.Private:
		return nil, nil // an image of a kind is public
	case f.Kind != "":
		return []shelf{kind}, nil
	case f.Private:
		return []shelf{own}, nil
	}
	return []shelf{public, own}, nil
}
