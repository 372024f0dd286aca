package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/export"
	"ingot/internal/image"
	"ingot/internal/store"
)

// stores are the open stores, by the id that the catalogue knows each by.
type stores struct {
	byID     map[int64]*store.Store
	exporter *export.Exporter
	log      *slog.Logger // nil: nothing is logged
}

// openStores opens every store that the catalogue knows. Relative folders are in the data directory, so that it can
// be moved as a whole.
func openStores(ctx context.Context, cat *catalog.Catalog, data string) (*stores, error) {
	urls, err := cat.Stores(ctx)
	if err != nil {
		return nil, err
	}
	s := &stores{byID: map[int64]*store.Store{}, exporter: export.New()}
	for id, url := range urls {
		objects, err := openObjects(url, data)
		if err != nil {
			return nil, err
		}
		if s.byID[id], err = store.New(objects, cat.Index(id)); err != nil {
			return nil, err
		}
	}
	return s, nil
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

// sweep sweeps every store and adds up what was freed. A store that fails does not keep the others from it.
func (s *stores) sweep(ctx context.Context) (total store.SweepReport, err error) {
	for _, kept := range s.byID {
		report, failed := kept.Sweep(ctx)
		total.Add(report)
		err = errors.Join(err, failed)
	}
	return total, err
}
