package store

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Distant is a place of objects where each request takes its time, however little it asks for. Of such a place a reader
// that goes on from where it was reads more at once, and before it is asked for.
type Distant interface{ Distant() }

const (
	// batchSize bounds the stored bytes that are fetched together, and batchRecords their chunks.
	batchSize    = 4 << 20
	batchRecords = 512

	// batchesAhead is how many batches are fetched beyond the one being read, and batchesKept how many a reader has
	// at once: several goroutines may read side by side.
	batchesAhead = 2
	batchesKept  = batchesAhead + 2

	// bridge is how many bytes between two chunks of a pack are fetched for nothing rather than with another request.
	bridge = 128 << 10

	// requestsAtOnce bounds the requests of one batch, or of one read, that are under way.
	requestsAtOnce = 8

	// near is how far, in records, a read may begin from where the last one ended to be taken for the next: readers
	// side by side overtake each other. So many records must have been read that way before more than these is fetched.
	near   = 160
	enough = 16
)

// ahead fetches for one reader what follows. Records are counted over the whole manifest, so that a hole is no jump.
type ahead struct {
	r *Reader

	mu   sync.Mutex
	next int // record after the last one read
	read int // records read since the last jump

	planning sync.Mutex // held while batches are made, and when one is waited for
	planned  int        // record after the last one of a batch
	batches  []*batch   // oldest first
}

// batch is records that are fetched together.
type batch struct {
	from, to  int
	stretches []*stretch
}

// stretch is a piece of a pack that one request fetches.
type stretch struct {
	pack  string
	off   int64
	n     int
	ready chan struct{} // closed when bytes are there, or never will be
	bytes []byte
}

// covers says that a chunk lies in the stretch.
func (r *stretch) covers(l Location) bool {
	return r.pack == l.Pack && l.Offset >= r.off && l.Offset+int64(l.Stored) <= r.off+int64(r.n)
}

// begin notes a read that begins with a record, and says whether it goes on from the last one. After a jump nothing of
// what was fetched is kept.
func (a *ahead) begin(record int) (steady bool) {
	a.mu.Lock()
	jump := record <= a.next-near || record >= a.next+near
	if jump {
		a.next, a.read = record, 0
	}
	steady = a.read >= enough
	a.mu.Unlock()
	if jump {
		a.planning.Lock()
		defer a.planning.Unlock()
		a.planned, a.batches = 0, nil
	}
	return steady
}

// end notes that a read of some records ended before one, and lets what follows be fetched.
func (a *ahead) end(records, record int, steady bool) {
	a.mu.Lock()
	a.next = max(a.next, record)
	a.read += records
	a.mu.Unlock()
	if steady {
		go a.fill(record)
	}
}

// fill makes batches until enough lie beyond a record. What it fails of, the read that needs it meets again.
func (a *ahead) fill(record int) {
	a.planning.Lock()
	defer a.planning.Unlock()
	for int64(a.planned) < a.r.root.records && a.r.ctx.Err() == nil {
		beyond := 0
		for _, b := range a.batches {
			if b.from >= record {
				beyond++
			}
		}
		if beyond >= batchesAhead || a.plan(max(a.planned, record)) != nil {
			return
		}
	}
}

// find returns the stretch that a record's chunk is fetched with, or nil. What no batch has yet is put into one.
func (a *ahead) find(record int, l Location) *stretch {
	a.planning.Lock()
	defer a.planning.Unlock()
	if record >= a.planned && a.plan(record) != nil {
		return nil
	}
	for _, b := range a.batches {
		if record < b.from || record >= b.to {
			continue
		}
		for _, r := range b.stretches {
			if r.covers(l) {
				return r
			}
		}
	}
	return nil
}

// plan makes the batch that begins with a record, and begins to fetch it.
func (a *ahead) plan(record int) error {
	b := &batch{from: record, to: record}
	var places []Location
	for stored := 0; int64(b.to) < a.r.root.records && len(places) < batchRecords && stored < batchSize; b.to++ {
		l, err := a.r.place(b.to)
		if err != nil {
			return err
		}
		places = append(places, l)
		stored += int(l.Stored)
	}
	b.stretches = stretchesOf(places)
	if a.batches = append(a.batches, b); len(a.batches) > batchesKept {
		a.batches = slices.Delete(a.batches, 0, 1)
	}
	a.planned = b.to
	go fetchStretches(a.r.ctx, a.r.store.objects, b.stretches)
	return nil
}

// stretchesOf covers chunks with few pieces of packs, none longer than a batch.
func stretchesOf(places []Location) []*stretch {
	slices.SortFunc(places, func(x, y Location) int {
		return cmp.Or(cmp.Compare(x.Pack, y.Pack), cmp.Compare(x.Offset, y.Offset))
	})
	var stretches []*stretch
	for _, l := range places {
		end := l.Offset + int64(l.Stored)
		if len(stretches) > 0 {
			r := stretches[len(stretches)-1]
			if r.pack == l.Pack && l.Offset <= r.off+int64(r.n)+bridge && end-r.off <= batchSize+maxChunk {
				r.n = max(r.n, int(end-r.off))
				continue
			}
		}
		stretches = append(stretches, &stretch{pack: l.Pack, off: l.Offset, n: int(l.Stored), ready: make(chan struct{})})
	}
	return stretches
}

func fetchStretches(ctx context.Context, objects Objects, stretches []*stretch) {
	g := group{new(errgroup.Group)}
	g.SetLimit(requestsAtOnce)
	for _, r := range stretches {
		g.Go(func() error {
			defer close(r.ready)
			b := make([]byte, r.n)
			if err := objects.ReadAt(ctx, r.pack, b, r.off); err != nil {
				return err
			}
			r.bytes = b
			return nil
		})
	}
	_ = g.Wait() // what failed, the read that needs it meets again
}

// stored waits for the bytes of a piece of the stretch; false says that they could not be fetched.
func (r *stretch) stored(ctx context.Context, off int64, n int) ([]byte, bool) {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return nil, false
	}
	if r.bytes == nil {
		return nil, false
	}
	return r.bytes[off-r.off:][:n], true
}
