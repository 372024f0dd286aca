package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// unused looks for packs that nobody relies on and no sweep would find: an object's end is always written down, so
// there are none but by a fault, or a repair that was cut off.
func (c *check) unused(ctx context.Context) error {
	packs, err := c.index.Unused(ctx)
	if err != nil {
		return err
	}
	for _, o := range packs {
		d := Damage{Code: PackUnused, Object: o.Name, Detail: fmt.Sprintf("%d bytes that no image needs, and that no sweep would look at", o.Size)}
		if c.Repair {
			if err := c.index.Loosen(ctx, []string{o.Name}); err != nil {
				return err
			}
			d.Repair, d.Mended = "left to the next sweep", true
		}
		c.tell(d)
	}
	return nil
}

// strays looks for objects that the index does not know. An object is registered before it is made, so one that is
// there and unknown has no owner. What is not named as a store names objects is somebody else's: another store in a
// folder of this one, or what shares the bucket.
func (c *check) strays(ctx context.Context) error {
	var page []ObjectInfo
	for _, kind := range []Kind{KindPack, KindManifest} {
		for o, err := range c.objects.List(ctx, kind.folder()) {
			if err != nil {
				return err
			}
			if !isName(kind, o.Name) {
				continue
			}
			if page = append(page, o); len(page) < checkPage {
				continue
			}
			if err := c.unknown(ctx, page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	return c.unknown(ctx, page)
}

func (c *check) unknown(ctx context.Context, page []ObjectInfo) error {
	names := make([]string, len(page))
	for i := range page {
		names[i] = page[i].Name
	}
	known, err := c.index.Registered(ctx, names)
	if err != nil {
		return err
	}
	for i, o := range page {
		if known[i] {
			continue
		}
		if _, err := c.objects.Stat(ctx, o.Name); errors.Is(err, fs.ErrNotExist) {
			continue // swept since it was listed
		}
		d := Damage{Code: ObjectUnexpected, Object: o.Name, Detail: fmt.Sprintf("%d bytes that nobody knows of", o.Size)}
		if c.Repair {
			if err := c.index.Disown(ctx, o.Name, o.Size, c.Grace); err != nil {
				return err
			}
			d.Repair, d.Mended = fmt.Sprintf("left to the first sweep after %s", c.Grace), true
		}
		c.tell(d)
	}
	return nil
}
