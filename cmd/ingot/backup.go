package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ingot/internal/catalog"
)

type backupCmd struct {
	dataFlags
	Dest string        `arg:"" help:"The folder that the catalogue is written to; it is made." type:"path" placeholder:"DEST"`
	Hold time.Duration `help:"How long sweeps leave in place what the backup names: as long as copying the stores may take." default:"24h"`
}

// Run backs up the catalogue, while the service runs. The order makes it fit the stores: first nothing that is there may
// go any more, then one state of the catalogue is written, and then the stores are copied.
func (c *backupCmd) Run(ctx context.Context, term terminal) error {
	if c.Hold <= 0 {
		return usageError{errors.New("--hold must be longer than 0s: without it, what the backup names may go before it is copied")}
	}
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	urls, err := cat.Stores(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dest, 0o700); err != nil {
		return err
	}
	file := filepath.Join(c.Dest, cat.BackupFile())
	hold, err := cat.Hold(ctx, "backup to "+file, c.Hold)
	if err != nil {
		return err
	}
	if err := cat.Backup(ctx, c.databaseURL(), file); errors.Is(err, catalog.ErrNoDump) {
		return err
	} else if err != nil {
		return errors.Join(err, cat.EndHold(context.WithoutCancel(ctx), hold))
	}
	if err := cat.NarrowHold(ctx, hold); err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.Out, "%s is written. Until %s nothing that it names is deleted from the stores. Copy them now:\n%s"+
		"When they are copied: ingot gc --end-holds. How to restore: docs/operating.md\n",
		file, hold.Until.Local().Format(time.RFC3339), c.copies(slices.Sorted(maps.Values(urls))))
	return err
}

// copies are the commands that copy the stores.
func (c *backupCmd) copies(urls []string) string {
	var b strings.Builder
	for i, url := range urls {
		name := "store"
		if i > 0 {
			name = fmt.Sprintf("store-%d", i+1)
		}
		dir, local := strings.CutPrefix(url, "file:")
		if !local {
			fmt.Fprintf(&b, "  %s: by your provider's means (replication, or a tool such as rclone)\n", url)
			continue
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.Data, dir)
		}
		fmt.Fprintf(&b, "  rsync -a %s/ %s/\n", dir, filepath.Join(c.Dest, name))
	}
	return b.String()
}
