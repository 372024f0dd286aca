package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// maxWanted bounds the chunks that one repair looks for: their digests are kept in memory.
const maxWanted = 1 << 21

func (c *check) manifests(ctx context.Context) error {
	for after := int64(0); ; {
		page, err := c.index.Manifests(ctx, after, checkPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, m := range page {
			after = m.ID
			if err := c.manifest(ctx, m); err != nil {
				return err
			}
		}
	}
}

// manifest checks one manifest. What a repair may yet mend is told when it has tried.
func (c *check) manifest(ctx context.Context, m KeptManifest) error {
	d, uses, err := c.read(ctx, m)
	if err != nil {
		return err
	}
	c.count(func(r *CheckReport) { r.Manifests++; r.Objects++ })
	if d == nil && !m.Damaged {
		return c.referred(ctx, m, uses)
	}
	if d == nil {
		d = &Damage{Code: ImageWithdrawn, Detail: "an earlier check found the image damaged, and now it is whole"}
	}
	if c.Repair {
		c.broken = append(c.broken, brokenManifest{m.ID, *d})
		return c.recast(ctx, m, d.Code)
	}
	return c.tellOf(ctx, m, *d)
}

// tellOf tells damage of a manifest, unless it was dropped meanwhile.
func (c *check) tellOf(ctx context.Context, m KeptManifest, d Damage) error {
	now, err := c.index.Manifests(ctx, m.ID-1, 1)
	if err != nil || len(now) == 0 || now[0].ID != m.ID {
		return err
	}
	d.Object, d.Images = m.Object, now[0].Images
	c.tell(d)
	return nil
}

// read reads a manifest. It returns what is wrong with it or with the chunks that it names, nil if nothing is, and the
// packs in which these are, with the stored bytes used of each.
func (c *check) read(ctx context.Context, m KeptManifest) (*Damage, map[string]int64, error) {
	missing := 0
	uses := map[string]int64{}
	var failed error
	err := c.eachRecord(ctx, m.ManifestRef, func(records []record) {
		n, err := c.missing(ctx, records, uses)
		missing += n
		failed = errors.Join(failed, err)
	})
	if failed != nil {
		return nil, nil, failed
	}
	var damage *DamageError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Damage{Code: ManifestMissing, Detail: "the manifest is gone"}, uses, nil
	case errors.As(err, &damage):
		return &Damage{Code: ManifestAltered, Detail: damage.Error()}, uses, nil
	case err != nil && c.unreadable(ctx):
		return &Damage{Code: ManifestUnreadable, Detail: "the manifest cannot be read: " + err.Error()}, uses, nil
	case err != nil:
		return nil, nil, err
	case missing > 0:
		return &Damage{Code: ImageIncomplete, Detail: fmt.Sprintf("%d of the image's chunks are missing or damaged", missing)}, uses, nil
	}
	return nil, uses, nil
}

// missing counts the records whose chunks are nowhere or damaged, and adds up where the others are.
func (c *check) missing(ctx context.Context, records []record, uses map[string]int64) (int, error) {
	n := 0
	digests := make([]Digest, len(records))
	for i := range records {
		digests[i] = records[i].digest
	}
	found, err := c.index.Locate(ctx, digests)
	if err != nil {
		return 0, err
	}
	for i := range records {
		_, bad := c.bad[digests[i]]
		_, gone := c.gone[found[i].Pack]
		// What a repair could not read it has taken out of the index, so that what is there now is good.
		if (bad || gone) && !c.Repair || found[i].Length != records[i].n {
			n++
			if c.Repair && len(c.wanted) < maxWanted {
				c.wanted[digests[i]] = struct{}{}
			}
		}
		if pack, ok := c.spares[digests[i]]; ok && (found[i].Pack == "" || c.Repair && found[i].Pack == pack) {
			c.needed[pack]++
			delete(c.spares, digests[i])
		}
		if found[i].Pack != "" {
			uses[found[i].Pack] += int64(found[i].Stored)
		}
	}
	return n, nil
}

// unlisted tells of packs whose chunks images need and the index does not know. A repair has made them known before the
// manifests were read.
func (c *check) unlisted(ctx context.Context) error {
	for pack, n := range c.needed {
		images, err := c.index.Concerned(ctx, pack)
		if err != nil {
			return err
		}
		d := Damage{Code: ChunkWithoutRow, Object: pack, Images: images, Detail: fmt.Sprintf("%d chunks of the pack that images need are unknown to the index", n)}
		if c.Repair {
			d.Repair, d.Mended = "the index's rows of the pack are rebuilt from its table", true
		}
		c.tell(d)
	}
	return nil
}

// unreferred returns which of these packs a manifest's references do not name, in order.
func (c *check) unreferred(ctx context.Context, m KeptManifest, uses map[string]int64) ([]string, error) {
	names, err := c.index.References(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	var missing []string
	for pack := range uses {
		if !slices.Contains(names, pack) {
			missing = append(missing, pack)
		}
	}
	slices.Sort(missing)
	return missing, nil
}

// referTries bounds how often references are looked at again because packs were rewritten meanwhile.
const referTries = 10

// referred checks that a manifest's references name every pack that it relies on: a sweep goes by them. A difference is
// one if it shows twice, since packs may be replaced between two questions.
func (c *check) referred(ctx context.Context, m KeptManifest, uses map[string]int64) error {
	var before []string
	for range referTries {
		missing, err := c.unreferred(ctx, m, uses)
		if err != nil || len(missing) == 0 {
			return err
		}
		if slices.Equal(missing, before) {
			break
		}
		before = missing
		d, again, err := c.read(ctx, m)
		if err != nil || d != nil {
			return err // dropped meanwhile; what is damaged was told by the pack
		}
		uses = again
	}
	d := Damage{Code: PackUnreferred, Detail: fmt.Sprintf("%d packs that the image relies on are not written down as such: a sweep could take them", len(before))}
	if c.Repair {
		whole, err := c.hold(ctx, m)
		if err != nil {
			return err
		}
		if whole {
			d.Repair, d.Mended = "they are written down", true
		}
	}
	return c.tellOf(ctx, m, d)
}
