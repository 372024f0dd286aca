// Package store keeps guests' disks: it cuts them into chunks that are named by their digests, keeps each chunk once,
// compressed, in packs of some tens of MB, and remembers a disk as a manifest of its chunks and holes. It gives the
// disk back, byte for byte and checked, and knows what may be swept.
package store

import (
	"io"
	"runtime"
	"sync"
)

// cacheSize bounds the expanded chunks that a Store keeps for readers, in bytes.
const cacheSize = 16 << 20

// Catalog is all that a store asks of the catalogue.
type Catalog interface {
	Index
	SweepIndex
	CompactIndex
	CheckIndex
	UseIndex
	RepairIndex
	SettleIndex
}

// Store keeps disks in one place of objects, with its chunk index. It is safe for use by several goroutines; several
// processes may have Stores of the same place and index.
type Store struct {
	objects Objects
	index   Catalog
	codecs  codecs
	cache   *cache
	workers int

	spare    chan struct{} // one for each segment in memory beyond those that are a write's own
	segments sync.Pool     // of *segment
	outs     sync.Pool     // of *[]byte, empty
	fetches  sync.Pool     // of *[]byte, fetchSize long
}

// New returns the store of a place of objects.
func New(objects Objects, index Catalog) (*Store, error) {
	codecs, err := newCodecs()
	if err != nil {
		return nil, err
	}
	s := &Store{
		objects:  objects,
		index:    index,
		codecs:   codecs,
		cache:    newCache(cacheSize),
		workers:  runtime.GOMAXPROCS(0),
		segments: sync.Pool{New: func() any { return newSegment() }},
		outs: sync.Pool{New: func() any {
			b := make([]byte, 0, outSize)
			return &b
		}},
		fetches: sync.Pool{New: func() any {
			b := make([]byte, fetchSize)
			return &b
		}},
	}
	s.spare = make(chan struct{}, s.ownSegments())
	return s, nil
}

// Close closes what the place of objects keeps open. Reads and writes should have ended.
func (s *Store) Close() error {
	if c, ok := s.objects.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
