package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/export"
	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// stores are the open stores, by the id that the catalogue knows each by.
type stores struct {
	byID     map[int64]*store.Store
	missing  map[int64]error // why a store is not open that no region has any more
	exporter *export.Exporter
	failures failures
	log      *slog.Logger // nil: nothing is logged
}

// openStores opens every store that the catalogue knows, and makes sure that each is the one that it knows. Relative
// folders are in the data directory, so that it can be moved as a whole. A store that cannot be opened is an error if a
// region has it; a former one may be gone.
func openStores(ctx context.Context, cat *catalog.Catalog, data string) (*stores, error) {
	urls, err := cat.Stores(ctx)
	if err != nil {
		return nil, err
	}
	regions, err := cat.Regions(ctx)
	if err != nil {
		return nil, err
	}
	used := slices.Collect(maps.Values(regions))
	s := &stores{byID: map[int64]*store.Store{}, missing: map[int64]error{}, exporter: export.New(), failures: failures{at: map[int64]time.Time{}}}
	for id, url := range urls {
		kept, err := openStore(ctx, cat, id, url, data)
		switch {
		case err == nil:
			s.byID[id] = kept
		case slices.Contains(used, id):
			return nil, errors.Join(err, s.close())
		case refusal.As(err) != nil && refusal.As(err).Code == "store_known":
			// A start by another URL, which was refused: nothing was ever kept by that name.
		default:
			s.missing[id] = err
		}
	}
	return s, nil
}

func openStore(ctx context.Context, cat *catalog.Catalog, id int64, url, data string) (*store.Store, error) {
	objects, err := openObjects(url, data)
	if err != nil {
		return nil, err
	}
	if err := store.Recognise(ctx, objects, cat, id, url); err != nil {
		return nil, err
	}
	return store.New(objects, cat.Index(id))
}

// Open opens an image's content as a file.
func (s *stores) Open(ctx context.Context, c image.Content, format string) (api.File, error) {
	disk, err := s.openReplicated(ctx, c)
	if err != nil {
		return nil, err
	}
	if format == "manifest" {
		return disk.Manifest(), nil
	}
	return s.exporter.File(disk, c.Digest, format)
}

// sweepEvery is how often a service sweeps when no deletion asks for it: what a killed worker left behind waits for
// that.
const sweepEvery = time.Minute

// sweep sweeps every store and adds up what was freed. A store that fails, or does not answer, does not keep the others
// from it.
func (s *stores) sweep(ctx context.Context) (total store.SweepReport, failed error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, kept := range s.byID {
		all.Go(func() {
			report, err := kept.Sweep(ctx)
			mu.Lock()
			defer mu.Unlock()
			total.Add(report)
			failed = errors.Join(failed, err)
		})
	}
	all.Wait()
	return total, failed
}

// gone says which stores are not open.
func (s *stores) gone() (err error) {
	for _, why := range s.missing {
		err = errors.Join(err, why)
	}
	return err
}

func (s *stores) close() (err error) {
	for _, kept := range s.byID {
		err = errors.Join(err, kept.Close())
	}
	return err
}
