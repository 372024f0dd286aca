package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// checkPage is how many objects, manifests or names the index is asked for at once.
const checkPage = 200

// KeptObject is an object that must be there. ID counts up.
type KeptObject struct {
	ID   int64
	Name string
	Kind Kind
	Size int64
}

// KeptManifest is a published manifest with the images that it is the content of.
type KeptManifest struct {
	ManifestRef
	Images  []int64
	Damaged bool // an earlier check said so: its images are not served from here
}

// CheckIndex is what checking a store needs of the chunk index, besides Locate.
type CheckIndex interface {
	// Kept returns objects that must be there, with an ID above after, in order of ID.
	Kept(ctx context.Context, after int64, limit int) ([]KeptObject, error)

	// PackChunks returns the chunks that the index locates in a pack.
	PackChunks(ctx context.Context, pack string) ([]Entry, error)

	// Manifests returns published manifests with an ID above after, in order of ID.
	Manifests(ctx context.Context, after int64, limit int) ([]KeptManifest, error)

	// Registered says of each name whether the index knows an object of that name, in whatever state.
	Registered(ctx context.Context, names []string) ([]bool, error)
}

// DamageCode says what sort of damage was found. The values are stable.
type DamageCode string

// The sorts of damage. Of these only the last three, a pack whose table is wrong and a chunk without a row leave every
// image whole.
const (
	PackMissing     DamageCode = "pack_missing"
	PackUnreadable  DamageCode = "pack_unreadable"   // the place fails to give it, and gives others
	PackAltered     DamageCode = "pack_altered"      // its size or its table is not what it was
	ChunkAltered    DamageCode = "chunk_altered"     // chunks' bytes do not match their digests
	RowWithoutChunk DamageCode = "row_without_chunk" // the index locates chunks where the pack has others or none
	ChunkWithoutRow DamageCode = "chunk_without_row" // a pack has chunks that images need and the index locates nowhere
	ManifestMissing DamageCode = "manifest_missing"

	ManifestUnreadable DamageCode = "manifest_unreadable"
	ManifestAltered    DamageCode = "manifest_altered"
	ImageIncomplete    DamageCode = "image_incomplete"  // a manifest names chunks that are missing or damaged
	ImageWithdrawn     DamageCode = "image_withdrawn"   // an earlier check found an image damaged, and it is whole
	PackUnreferred     DamageCode = "pack_unreferred"   // a manifest relies on a pack that its references do not name
	PackUnused         DamageCode = "pack_unused"       // nobody relies on a pack, and no sweep would look at it
	ObjectUnexpected   DamageCode = "object_unexpected" // nobody knows the object
)

// Damage is one finding.
type Damage struct {
	Code   DamageCode
	Object string
	Detail string
	Images []int64 // of a manifest or a chunk list: that cannot be read whole because of it; of a pack: that rely on it
	Repair string  // what was done about it; "" where nothing was
	Mended bool    // nothing of it is left
}

// CheckReport is what a check looked at.
type CheckReport struct {
	Packs, Chunks, Manifests, Objects int64
	Bytes                             int64 // of packs and manifests read; of a quick check, looked at
	Damages, Left                     int64 // findings, and those of them that are not mended
}

// CheckOptions say how a store is checked. The zero value reads everything and changes nothing.
type CheckOptions struct {
	// Quick looks at the existence and the sizes of objects alone. It goes with no repair.
	Quick bool

	// Repair restores what can be: see repair.go.
	Repair bool

	// Others are the stores in which a repair looks for copies of what this one has lost.
	Others []*Store

	// Grace is how long a repair leaves objects that nobody knows of before a sweep may take them.
	Grace time.Duration

	// Progress, if not nil, is called now and then, from one goroutine at a time.
	Progress func(CheckReport)
}

// check is one Check.
type check struct {
	*Store
	CheckOptions
	found  func(Damage)
	mark   string // of the place, when the check began; "" if it has none
	mu     sync.Mutex
	report CheckReport
	bad    map[Digest]struct{} // chunks that cannot be read
	gone   map[string]struct{} // packs that are missing: their chunks need not be listed

	spares map[Digest]string // chunks that the index locates nowhere, and a pack that has each
	needed map[string]int    // by such packs: how many of these chunks images need

	// Of a repair: the chunks that manifests name and the index locates nowhere, and these manifests.
	wanted map[Digest]struct{}
	broken []brokenManifest
}

// Check reads the whole store and calls found for each damage, from one goroutine at a time. It changes nothing.
func (s *Store) Check(ctx context.Context, found func(Damage)) (CheckReport, error) {
	return s.CheckWith(ctx, CheckOptions{}, found)
}

// CheckWith checks the store and calls found for each damage, from one goroutine at a time. It locks nothing and may
// run beside anything; what a sweep takes meanwhile is no damage. Packs come first, then manifests, so that what a
// damaged pack means is told by image, then a look for objects that nobody knows. What is kept in memory grows with
// the damage, not with the store. An error says that the check itself could not go on.
func (s *Store) CheckWith(ctx context.Context, opt CheckOptions, found func(Damage)) (CheckReport, error) {
	c := &check{Store: s, CheckOptions: opt, found: found,
		bad: map[Digest]struct{}{}, gone: map[string]struct{}{}, wanted: map[Digest]struct{}{},
		spares: map[Digest]string{}, needed: map[string]int{}}
	var err error
	if c.mark, err = anyMark(ctx, s.objects); err != nil {
		return c.report, err
	}
	steps := []func(context.Context) error{c.packs, c.manifests, c.unlisted, c.rescue, c.unused, c.strays}
	if opt.Quick {
		steps = []func(context.Context) error{c.sizes}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

// same returns an error unless the place is still the one that the check began with. A file system that is no longer
// mounted leaves an empty folder, in which all is missing and nothing is damaged.
func (c *check) same(ctx context.Context) error {
	if c.mark == "" {
		return nil
	}
	if _, err := c.objects.Stat(ctx, c.mark); err != nil {
		return fmt.Errorf("the store is not what it was when the check began: %w", err)
	}
	return nil
}

// unreadable says whether an error is that of one object: the place gives its mark.
func (c *check) unreadable(ctx context.Context) bool {
	return c.mark != "" && ctx.Err() == nil && c.same(ctx) == nil
}

func (c *check) tell(d Damage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Damages++
	if !d.Mended {
		c.report.Left++
	}
	c.found(d)
}

// count adds to the report and shows how far the check is.
func (c *check) count(add func(*CheckReport)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.report)
	if c.Progress != nil {
		c.Progress(c.report)
	}
}

// lost notes a chunk that cannot be read.
func (c *check) lost(d Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad[d] = struct{}{}
}

// kept calls fn for every object that must be there, several at once.
func (c *check) kept(ctx context.Context, fn func(context.Context, KeptObject) error) error {
	g, ctx := newGroup(ctx)
	g.SetLimit(c.workers)
	for after := int64(0); ; {
		page, err := c.index.Kept(ctx, after, checkPage)
		if err != nil || len(page) == 0 {
			return errors.Join(g.Wait(), err)
		}
		for _, o := range page {
			after = o.ID
			g.Go(func() error { return fn(ctx, o) })
		}
	}
}

// swept says whether an object that was expected is expected no more: it was swept, or settled under another name.
func (c *check) swept(ctx context.Context, o KeptObject) (bool, error) {
	now, err := c.index.Kept(ctx, o.ID-1, 1)
	return len(now) == 0 || now[0].ID != o.ID || now[0].Name != o.Name, err
}

// sizes looks at every object's existence and size.
func (c *check) sizes(ctx context.Context) error {
	return c.kept(ctx, func(ctx context.Context, o KeptObject) error {
		size, there, err := c.stat(ctx, o)
		if err != nil {
			return err
		}
		c.count(func(r *CheckReport) { r.Objects++; r.Bytes += o.Size })
		d := Damage{Object: o.Name}
		switch {
		case !there && o.Kind == KindPack:
			d.Code, d.Detail = PackMissing, "the pack is gone"
		case !there:
			d.Code, d.Detail = ManifestMissing, "the manifest is gone"
		case size == o.Size:
			return nil
		case o.Kind == KindPack:
			d.Code, d.Detail = PackAltered, fmt.Sprintf("the pack has %d bytes and should have %d", size, o.Size)
		default:
			d.Code, d.Detail = ManifestAltered, fmt.Sprintf("the manifest has %d bytes and should have %d", size, o.Size)
		}
		if gone, err := c.swept(ctx, o); gone || err != nil {
			return err
		}
		if d.Images, err = c.index.Concerned(ctx, o.Name); err != nil {
			return err
		}
		c.tell(d)
		return nil
	})
}
