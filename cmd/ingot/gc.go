package main

import (
	"context"
	"fmt"
)

type gcCmd struct{ dataFlags }

// Run sweeps every store of a data directory, whether or not a service runs on it.
func (c *gcCmd) Run(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	kept, err := openStores(ctx, cat, c.Data)
	if err != nil {
		return err
	}
	report, err := kept.sweep(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.Out, "%d objects deleted, %d packs rewritten, %s freed\n", report.Deleted, report.Rewritten, sizeText(report.Freed))
	return err
}
