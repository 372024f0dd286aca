package catalog

import (
	"context"
	"sync/atomic"

	"ingot/internal/image"
)

// defaultCache is how many bytes of what was read are kept where nothing is said.
const defaultCache = 64 << 20

// cache keeps what requests read again and again: tokens, images and pages of lists. It is there on SQLite, where one
// process writes nearly everything and the rest can be noticed (see watch.go). On PostgreSQL, where several processes
// write, every read asks the database.
//
// What makes it right: everything kept bears a stamp that was taken before its transaction began, and is good only as
// long as a stamp taken now is the same. A commit changes the stamps of those whose view of the catalogue it may change,
// once before it begins and once after it has ended. So a reader that began before a commit cannot leave what it
// saw to those who come after it; and while a commit is on its way, when some would see what is new and others what is
// kept, nothing that it may change is answered from here.
type cache struct {
	everybody atomic.Uint64      // odd: a commit is on its way
	parties   [256]atomic.Uint64 // by scope; those who share one only forget more than they need

	tokens *recent[[32]byte, image.Token]
	images *recent[imageKey, image.Image]
	slugs  *recent[string, record] // as their owners see them
	pages  *recent[pageKey, pageOfImages]
}

type imageKey struct{ account, id int64 }

type pageKey struct {
	account int64
	filter  image.Filter
	page    image.Page
}

type pageOfImages struct {
	images []image.Image
	total  int64
}

func newCache(bytes int) *cache {
	return &cache{
		tokens: newRecent[[32]byte](bytes/8, weighToken),
		images: newRecent[imageKey](bytes/4, weighImage),
		slugs:  newRecent[string](bytes/8, func(r record) int { return weighImage(r.Image) }),
		pages: newRecent[pageKey](bytes/2, func(p pageOfImages) int {
			weight := 512
			for _, m := range p.images {
				weight += weighImage(m)
			}
			return weight
		}),
	}
}

func weighToken(t image.Token) int { return 512 + len(t.Name) + weighStrings(t.Scopes) }

func weighImage(m image.Image) int {
	return 512 + len(m.Name) + len(m.Distribution) + len(m.Slug) + len(m.Description) + len(m.ErrorMessage) + len(m.Digest) +
		weighStrings(m.Regions) + weighStrings(m.Tags)
}

func weighStrings(list []string) int {
	weight := 0
	for _, s := range list {
		weight += 16 + len(s)
	}
	return weight
}

// scope is whose view of the catalogue a transaction changes: that of one account, by its id, or one of those below.
// The zero value, that of everybody, is always right.
type scope int64

const (
	everybody scope = 0
	nobody    scope = -1 // nothing of what is kept
	tokens    scope = -2
	public    scope = -3 // what all accounts see; whoever changes that changes everybody's view
)

// stamp is how often a view of the catalogue may have changed.
type stamp struct{ everybody, party uint64 }

// stamp returns the present stamp of a view; ok is false while a commit is on its way that may change it.
func (c *cache) stamp(s scope) (now stamp, ok bool) {
	now = stamp{c.everybody.Load(), c.party(s).Load()}
	return now, now.everybody%2 == 0 && now.party%2 == 0
}

func (c *cache) party(s scope) *atomic.Uint64 { return &c.parties[uint64(s)%uint64(len(c.parties))] }

// changing says that a commit is on its way, and returns what says that it has ended. There is one at a time.
func (c *cache) changing(s scope) (changed func()) {
	n := &c.everybody
	switch s {
	case nobody:
		return func() {}
	case everybody, public:
	default:
		n = c.party(s)
	}
	n.Add(1)
	return func() { n.Add(1) }
}

// forget makes everything that is kept worthless.
func (c *cache) forget() { c.everybody.Add(2) }

// remembered returns what is kept under a key, or loads it and keeps it. Errors are not kept: a token that was unknown a
// moment ago may be good now. The value is shared by all who ask for it.
func remembered[K comparable, V any](ctx context.Context, c *Catalog, of func(*cache) *recent[K, V], s scope, key K, load func() (V, error)) (V, error) {
	if c.cache == nil || !c.fresh(ctx) {
		return load()
	}
	now, ok := c.cache.stamp(s)
	if !ok {
		return load()
	}
	kept := of(c.cache)
	if v, ok := kept.get(key, now); ok {
		return v, nil
	}
	v, err := load()
	if err == nil {
		kept.put(key, now, v)
	}
	return v, err
}
