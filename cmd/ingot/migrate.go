package main

import (
	"context"
	"fmt"

	"ingot/internal/catalog"
)

type migrateCmd struct{ dataFlags }

// Run brings the schema up to date, while older processes work on: a migration adds, unless the changelog says that
// they must be stopped for it, and then they stop by themselves.
func (c *migrateCmd) Run(ctx context.Context, term terminal) error {
	if err := c.wantData(); err != nil {
		return err
	}
	before, after, err := catalog.Migrate(ctx, c.databaseURL())
	if err != nil {
		return err
	}
	if before == after {
		_, err = fmt.Fprintf(term.Out, "schema %d, up to date\n", after)
		return err
	}
	_, err = fmt.Fprintf(term.Out, "schema %d, was %d\n", after, before)
	return err
}
