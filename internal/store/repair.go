package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A repair believes no byte that it has not checked against its digest, and changes the index in single transactions,
// each of which leaves it right, so it may run beside anything and be cut off anywhere:
//
//   - a pack of which anything is wrong is replaced by a new one of what could be read, or by none; the chunks that could
//     not be read are then nowhere, so that the next import that has them brings them back;
//   - rows that are wrong are rebuilt from the pack's own table;
//   - chunks that images lack are looked for in every pack there is, known or not, and in the other stores;
//   - an image that is still not whole is marked, and not served as good; one that has become whole is served again.
//
// What is missing or wrong is read twice before it is believed, and the place must still be the store. A repair deletes
// nothing. What it has replaced, and what nobody knows of, is a sweep's to take when the grace is over: until then another
// repair can copy from it what should not have been given up.

// RepairIndex is what a repair changes of the chunk index.
type RepairIndex interface {
	// Mend makes a durable pack, with these chunks, known in place of another, in one transaction: what was located in old
	// and is not among the chunks is nowhere then, what relied on old relies on pack, and imports that had pinned it cannot
	// publish. A chunk that has a place elsewhere keeps that. old may be "" or the same as pack (then only rows change);
	// pack may be "" where nothing of old is left. If old is no longer live it changes nothing and returns false. The first
	// sweep after the grace deletes old.
	Mend(ctx context.Context, old, pack string, size int64, entries []Entry, grace time.Duration) (bool, error)

	// Refer writes down that a manifest relies on packs, with the bytes used of each. It returns false, and has changed
	// nothing, if one of them is no longer live.
	Refer(ctx context.Context, manifest int64, packs map[string]int64) (bool, error)

	// Judge says whether a manifest is damaged, and its images with it, where no other store has them whole.
	Judge(ctx context.Context, manifest int64, damaged bool) error

	// Recast gives a manifest another object, which is durable and was reserved, in place of a damaged one.
	Recast(ctx context.Context, manifest int64, object string, size int64) error

	// Disown leaves an object that nobody knows of to the first sweep after the grace.
	Disown(ctx context.Context, name string, size int64, grace time.Duration) error
}

// UseIndex tells who relies on what.
type UseIndex interface {
	// Concerned returns the images that rely on an object, in order.
	Concerned(ctx context.Context, object string) ([]int64, error)

	// References returns the packs that a manifest is written down to rely on.
	References(ctx context.Context, manifest int64) ([]string, error)

	// ManifestObject returns the object of the published manifest of a digest, "" if there is none.
	ManifestObject(ctx context.Context, digest Digest) (string, error)

	// Unused returns packs that nobody relies on and that no sweep would look at.
	Unused(ctx context.Context) ([]KeptObject, error)

	// Loosen lets the next sweep look at packs.
	Loosen(ctx context.Context, packs []string) error
}

// repair repairs a pack and says what was done; "" if nothing was, or the pack is gone by now. Bytes that are wrong are
// read once more first: it may have been the reading.
func (p *packCheck) repair(ctx context.Context) (string, error) {
	if p.unread {
		return "", nil
	}
	if !p.rewrite {
		return p.mend(ctx)
	}
	again, err := p.check.examine(ctx, p.o)
	switch {
	case err != nil:
		return "", err
	case again.unread:
		return "", nil
	case len(again.found) == 0 && again.spare == 0:
		return "nothing had to be: read once more, the pack is whole", nil
	}
	return again.mend(ctx)
}

// mend makes of a pack what can be made of it.
func (p *packCheck) mend(ctx context.Context) (string, error) {
	lost := map[Digest]struct{}{}
	for i := range p.rows {
		lost[p.rows[i].Digest] = struct{}{}
	}
	for i := range p.good {
		delete(lost, p.good[i].Digest)
	}
	if !p.rewrite && len(lost) == 0 {
		done, err := p.index.Mend(ctx, p.o.Name, p.o.Name, p.size, p.good, p.Grace)
		if err != nil || !done {
			return "", err
		}
		return fmt.Sprintf("the index's %d rows of the pack are rebuilt from its table", len(p.good)), nil
	}
	name, size, entries := "", int64(0), []Entry(nil)
	if len(p.good) > 0 {
		w, err := p.keepGood(ctx)
		if err != nil {
			return "", err
		}
		name, size, entries = w.name, w.size, w.entries
	}
	if err := p.same(ctx); err != nil {
		return "", err
	}
	done, err := p.index.Mend(ctx, p.o.Name, name, size, entries, p.Grace)
	if err != nil || !done {
		return "", err
	}
	return fmt.Sprintf("%d chunks are in a new pack, %d are lost here", len(entries), len(lost)), nil
}

// keepGood copies what could be read into a new pack.
func (p *packCheck) keepGood(ctx context.Context) (*packWriter, error) {
	w, err := p.reserve(ctx)
	if err != nil {
		return nil, err
	}
	from := p.reader(ctx, p.o.Name, p.size)
	for i := range p.good {
		if err := from.copyTo(w, &p.good[i]); err != nil {
			return nil, errors.Join(err, w.object.Abort())
		}
	}
	if err := w.commit(); err != nil {
		return nil, errors.Join(err, w.object.Abort())
	}
	return w, nil
}

// brokenManifest is a manifest that a repair looks at twice: before and after it has looked for what is missing.
type brokenManifest struct {
	id     int64
	damage Damage
}

// rescue looks for what is missing, and settles what becomes of the images that lack it.
func (c *check) rescue(ctx context.Context) error {
	packs, err := c.search(ctx)
	if err != nil {
		return err
	}
	for _, b := range c.broken {
		if err := c.settle(ctx, b); err != nil {
			return err
		}
	}
	if len(packs) == 0 {
		return nil
	}
	return c.index.Loosen(ctx, packs) // an image that was to have them may be gone
}

// settle decides whether a manifest's images are whole now.
func (c *check) settle(ctx context.Context, b brokenManifest) error {
	page, err := c.index.Manifests(ctx, b.id-1, 1)
	if err != nil || len(page) == 0 || page[0].ID != b.id {
		return err
	}
	m := page[0]
	whole, err := c.judge(ctx, m)
	if err != nil {
		return err
	}
	if b.damage.Mended = whole; whole {
		b.damage.Repair = "the image is whole again"
	} else {
		b.damage.Repair = "the image is not served from this store until its content is back"
	}
	return c.tellOf(ctx, m, b.damage)
}

// judge says in the index whether a manifest is whole. An import may bring back what it lacks at any moment: one that
// is published after the index says that the manifest is damaged says that it is whole again, and what was published
// before that shows when the manifest is looked at once more.
func (c *check) judge(ctx context.Context, m KeptManifest) (whole bool, err error) {
	if whole, err = c.hold(ctx, m); err != nil {
		return false, err
	}
	if err := c.same(ctx); err != nil {
		return false, err
	}
	if err := c.index.Judge(ctx, m.ID, !whole); err != nil || whole {
		return whole, err
	}
	if whole, err = c.hold(ctx, m); err != nil || !whole {
		return false, err
	}
	return true, c.index.Judge(ctx, m.ID, false)
}

// hold writes down the packs that a manifest relies on, and then looks whether all that it names is there: from then on
// no sweep takes it.
func (c *check) hold(ctx context.Context, m KeptManifest) (whole bool, err error) {
	for range referTries {
		d, uses, err := c.read(ctx, m)
		if err != nil || d != nil && d.Code != ImageIncomplete {
			return false, err
		}
		missing, err := c.unreferred(ctx, m, uses)
		if err != nil {
			return false, err
		}
		if len(missing) == 0 {
			return d == nil, nil
		}
		if _, err := c.index.Refer(ctx, m.ID, uses); err != nil {
			return false, err
		}
	}
	return false, nil
}

// recast gives a manifest that cannot be read the copy that another store has of it, and reads that, to learn which of
// its chunks are missing.
func (c *check) recast(ctx context.Context, m KeptManifest, code DamageCode) error {
	if code != ManifestMissing && code != ManifestAltered {
		return nil
	}
	for _, other := range c.Others {
		object, err := other.index.ManifestObject(ctx, m.Digest)
		if err != nil {
			return err
		}
		if object == "" {
			continue
		}
		from, err := other.Open(ctx, object, m.Digest)
		if err != nil {
			continue // the other store's check tells
		}
		m.Object = newName(KindManifest)
		if err := c.index.Reserve(ctx, m.Object); err != nil {
			return err
		}
		err = from.Manifest().copyTo(ctx, c.objects, m.Object)
		var damage *DamageError
		if errors.As(err, &damage) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.index.Recast(ctx, m.ID, m.Object, from.Manifest().Size()); err != nil {
			return err
		}
		_, _, err = c.read(ctx, m)
		return err
	}
	return nil
}
