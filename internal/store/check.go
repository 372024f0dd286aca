package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"
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
	Images []int64
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

// The sorts of damage. Of these only a stray object and a chunk without a row leave every image whole.
const (
	PackMissing      DamageCode = "pack_missing"
	PackAltered      DamageCode = "pack_altered"      // its size or its table is not what it was
	ChunkAltered     DamageCode = "chunk_altered"     // a chunk's bytes do not match its digest
	RowWithoutChunk  DamageCode = "row_without_chunk" // the index locates a chunk where its pack has another or none
	ChunkWithoutRow  DamageCode = "chunk_without_row" // a pack has a chunk that the index locates nowhere
	ManifestMissing  DamageCode = "manifest_missing"
	ManifestAltered  DamageCode = "manifest_altered"
	ImageIncomplete  DamageCode = "image_incomplete" // a manifest names chunks that are missing or damaged
	ObjectUnexpected DamageCode = "object_unexpected"
)

// Damage is one finding.
type Damage struct {
	Code   DamageCode
	Object string
	Detail string
	Images []int64 // that cannot be read whole because of it; with the codes of manifests and images only
}

// CheckReport is what a check looked at.
type CheckReport struct {
	Packs, Chunks, Manifests, Objects, Damages int64
	Bytes                                      int64 // read of packs
}

// check is one Check.
type check struct {
	*Store
	found  func(Damage)
	mu     sync.Mutex
	report CheckReport
	bad    map[Digest]struct{} // chunks that cannot be read
}

// Check reads the whole store and calls found for each damage, from one goroutine at a time. It may run beside
// anything; what a sweep takes meanwhile is no damage. Packs come first, then manifests, so that what a damaged pack
// means is told by image, then a look for objects that nobody knows. An error says that the check itself could not go
// on.
func (s *Store) Check(ctx context.Context, found func(Damage)) (CheckReport, error) {
	c := &check{Store: s, found: found, bad: map[Digest]struct{}{}}
	for _, step := range []func(context.Context) error{c.packs, c.manifests, c.strays} {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

func (c *check) tell(d Damage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Damages++
	c.found(d)
}

// lost notes chunks that cannot be read.
func (c *check) lost(entries ...Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range entries {
		c.bad[entries[i].Digest] = struct{}{}
	}
}

// packs checks every pack, several at once.
func (c *check) packs(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.workers)
	for after := int64(0); ; {
		page, err := c.index.Kept(ctx, after, checkPage)
		if err != nil || len(page) == 0 {
			return errors.Join(err, g.Wait())
		}
		for _, o := range page {
			after = o.ID
			if o.Kind == KindPack {
				g.Go(func() error { return c.pack(ctx, o) })
			}
		}
	}
}

// gone says whether an object that was expected is expected no more.
func (c *check) gone(ctx context.Context, o KeptObject) (bool, error) {
	now, err := c.index.Kept(ctx, o.ID-1, 1)
	return len(now) == 0 || now[0].ID != o.ID, err
}

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

// manifest checks that a manifest is what the catalogue says and that every chunk it names can be read.
func (c *check) manifest(ctx context.Context, m KeptManifest) error {
	c.report.Manifests++
	missing := 0
	var failed error
	err := c.eachRecord(ctx, m.ManifestRef, func(records []record) {
		n, err := c.missing(ctx, records)
		missing += n
		failed = errors.Join(failed, err)
	})
	if failed != nil {
		return failed
	}
	d := Damage{Object: m.Object, Images: m.Images}
	var damage *DamageError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Code, d.Detail = ManifestMissing, "the manifest is gone"
	case errors.As(err, &damage):
		d.Code, d.Detail = ManifestAltered, damage.Error()
	case err != nil:
		return err
	case missing > 0:
		d.Code, d.Detail = ImageIncomplete, fmt.Sprintf("%d of the image's chunks are missing or damaged", missing)
	default:
		return nil
	}
	if gone, err := c.dropped(ctx, m); gone || err != nil {
		return err
	}
	c.tell(d)
	return nil
}

func (c *check) dropped(ctx context.Context, m KeptManifest) (bool, error) {
	now, err := c.index.Manifests(ctx, m.ID-1, 1)
	return len(now) == 0 || now[0].ID != m.ID, err
}

// missing counts the records whose chunks are nowhere or damaged.
func (c *check) missing(ctx context.Context, records []record) (int, error) {
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
		if _, bad := c.bad[digests[i]]; bad || found[i].Length != records[i].n {
			n++
		}
	}
	return n, nil
}

// strays looks for objects that the index does not know. An object is registered before it is made, so one that is
// there and unknown has no owner.
func (c *check) strays(ctx context.Context) error {
	var page []ObjectInfo
	for o, err := range c.objects.List(ctx, "") {
		if err != nil {
			return err
		}
		c.report.Objects++
		if page = append(page, o); len(page) < checkPage {
			continue
		}
		if err := c.unknown(ctx, page); err != nil {
			return err
		}
		page = page[:0]
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
		c.tell(Damage{Code: ObjectUnexpected, Object: o.Name, Detail: fmt.Sprintf("%d bytes that nobody knows of", o.Size)})
	}
	return nil
}
