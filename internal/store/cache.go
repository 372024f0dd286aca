package store

import (
	"container/list"
	"sync"
)

// cache keeps the chunks last expanded for readers that asked for a part of one. A chunk is named by its digest, so
// that images share what they have in common here too.
type cache struct {
	mu    sync.Mutex
	room  int        // bytes left
	order *list.List // of *cached, the last used in front
	byKey map[Digest]*list.Element
}

type cached struct {
	digest Digest
	bytes  []byte // never changed
}

func newCache(size int) *cache {
	return &cache{room: size, order: list.New(), byKey: map[Digest]*list.Element{}}
}

// get returns a chunk, or nil. Nobody may write to it.
func (c *cache) get(digest Digest) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[digest]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).bytes
}

func (c *cache) put(digest Digest, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[digest]; ok {
		return
	}
	c.byKey[digest] = c.order.PushFront(&cached{digest, b})
	c.room -= len(b)
	for c.room < 0 {
		old := c.order.Remove(c.order.Back()).(*cached)
		delete(c.byKey, old.digest)
		c.room += len(old.bytes)
	}
}
