package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/store"
)

type gcCmd struct {
	dataFlags
	EndHolds bool `help:"End the holds of backups first: the stores are copied." name:"end-holds"`
	Settle   bool `help:"Then compress well, on all processors, what imports have compressed lightly; the service does it by itself when no import runs."`
}

// Run sweeps every store of a data directory, whether or not a service runs on it.
func (c *gcCmd) Run(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	if c.EndHolds {
		if _, err := cat.EndHolds(ctx); err != nil {
			return err
		}
	}
	kept, err := openStores(ctx, cat, c.Data)
	if err != nil {
		return err
	}
	report, err := kept.sweep(ctx)
	if err = errors.Join(err, kept.gone()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.Out, "%d objects deleted, %d packs rewritten, %s freed\n", report.Deleted, report.Rewritten, sizeText(report.Freed))
	if err != nil {
		return err
	}
	if c.Settle {
		if err := settleNow(ctx, kept, cat, term.Out); err != nil {
			return err
		}
	}
	until, held, err := cat.Held(ctx)
	if err == nil && held > 0 {
		_, err = fmt.Fprintf(term.Out, "%d objects are held for a backup until %s; once the stores are copied: ingot gc --end-holds\n",
			held, until.Local().Format(time.RFC3339))
	}
	return err
}

// settleNow settles every pack that no import relies on at the moment.
func settleNow(ctx context.Context, kept *stores, cat *catalog.Catalog, out io.Writer) error {
	done, failed := kept.settle(ctx, store.SettleOptions{Workers: runtime.GOMAXPROCS(0)})
	packs, bytes, err := cat.Unsettled(ctx)
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d packs settled, %s made %s\n", done.Packs, sizeText(done.Before), sizeText(done.After))
	if err == nil && packs > 0 {
		_, err = fmt.Fprintf(out, "%d packs of %s are in use by imports, settled by another process or held for a backup, and settled later\n", packs, sizeText(bytes))
	}
	return err
}
