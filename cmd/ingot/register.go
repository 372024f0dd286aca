package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
)

// registerCmd makes an image of a type that no client can ask for. It acts on the catalogue, as the operator; the
// service imports what it queues.
type registerCmd struct {
	dataFlags
	Type         string   `help:"snapshot or backup." enum:"snapshot,backup" required:"" env:"-"`
	Account      string   `help:"The account that gets the image." default:"default"`
	Name         string   `help:"The image's name." required:"" env:"-"`
	URL          string   `help:"Where the image is." required:"" env:"-"`
	Region       string   `help:"The region that it is imported to. Without it, the service's first." env:"-"`
	Distribution string   `help:"The distribution, for example Debian." env:"-"`
	Description  string   `help:"A description." env:"-"`
	Tag          []string `help:"A tag; repeatable." env:"-"`
	NoWait       bool     `help:"Do not wait for the import." env:"-"`
}

// Run prints the image's id.
func (c *registerCmd) Run(ctx context.Context, term terminal) error {
	return c.withAccount(ctx, c.Account, func(cat *catalog.Catalog, account image.Account) error {
		regions, err := openRegionStores(ctx, cat)
		if err != nil {
			return err
		}
		in := image.Create{
			Name: c.Name, URL: c.URL, Distribution: c.Distribution, Region: c.Region,
			Description: c.Description, Tags: c.Tag, Type: image.Type(c.Type),
		}
		if in.Region == "" {
			in.Region = regions.together()[0]
		}
		if err := in.Validate(regions.list()); err != nil {
			return err
		}
		m, err := cat.CreateImage(ctx, account.ID, in, image.IdempotencyKey{})
		if err != nil {
			return err
		}
		if !c.NoWait {
			if err := await(ctx, term, cat, m); err != nil {
				return fmt.Errorf("image %d: %s", m.ID, message(err))
			}
		}
		_, err = fmt.Fprintln(term.Out, m.ID)
		return err
	})
}

// await shows how far the import of an image is until it has ended. An import that failed is an error, with its
// reason.
func await(ctx context.Context, term terminal, cat *catalog.Catalog, m image.Image) error {
	const patience = 10 * time.Second // before it says that nobody imports
	bar := newBar(term)
	defer bar.close()
	hint := time.AfterFunc(patience, func() {
		fmt.Fprintf(term.Err, "Waiting for a running service to import image %d. Ctrl-C leaves it queued.\n", m.ID)
	})
	defer hint.Stop()
	for {
		p, err := cat.ImportProgress(ctx, m.AccountID, m.ID)
		switch {
		case image.KindOf(err) == image.NotFound:
			return errors.New("the image was deleted meanwhile")
		case err != nil:
			return err
		case p.Phase == image.PhaseDone:
			return nil
		case p.Phase == image.PhaseFailed:
			return errors.New(p.ErrorMessage)
		case p.Phase != image.PhaseQueued:
			hint.Stop()
		}
		bar.show(string(p.Phase), p.BytesRead, p.BytesExpected)
		select {
		case <-ctx.Done():
			return errors.New("not waited for; the import goes on")
		case <-time.After(200 * time.Millisecond):
		}
	}
}
