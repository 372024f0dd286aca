package main

import (
	"context"
	"fmt"
	"time"
)

type gcCmd struct {
	dataFlags
	EndHolds bool `help:"End the holds of backups first: the stores are copied." name:"end-holds"`
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
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.Out, "%d objects deleted, %d packs rewritten, %s freed\n", report.Deleted, report.Rewritten, sizeText(report.Freed))
	if err != nil {
		return err
	}
	until, held, err := cat.Held(ctx)
	if err == nil && held > 0 {
		_, err = fmt.Fprintf(term.Out, "%d objects are held for a backup until %s; once the stores are copied: ingot gc --end-holds\n",
			held, until.Local().Format(time.RFC3339))
	}
	return err
}
