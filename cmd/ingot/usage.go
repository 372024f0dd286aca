package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"ingot/internal/catalog"
	"ingot/internal/image"
)

type usageCmd struct {
	dataFlags
	Account string `help:"Show the images of this account." placeholder:"NAME"`
	Bytes   bool   `help:"Show every size as a number of bytes."`
}

// Run shows what images hold of the stores of a data directory, whether or not a service runs on it.
func (c *usageCmd) Run(ctx context.Context, term terminal) error {
	w := tabwriter.NewWriter(term.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if c.Account != "" {
		err := c.withAccount(ctx, c.Account, func(cat *catalog.Catalog, a image.Account) error { return c.images(ctx, cat, a, w) })
		return errors.Join(err, w.Flush())
	}
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	return errors.Join(c.accounts(ctx, cat, w), w.Flush())
}

func (c *usageCmd) accounts(ctx context.Context, cat *catalog.Catalog, w io.Writer) error {
	accounts, other, err := cat.UsageByAccount(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "IMAGES\tLOGICAL\tSTORED\tSHARED\t  ACCOUNT")
	total := other
	for _, a := range accounts {
		fmt.Fprintf(w, "%d\t%s\t  %s\n", a.Images, c.usage(a.Usage), a.Name)
		total += a.Stored
	}
	_, err = fmt.Fprintf(w, "\t\t%s\t\t  for no image: imports that run, and what waits for a sweep\n\t\t%s\t\t  in all\n",
		c.size(other), c.size(total))
	packs, bytes, failed := cat.Unsettled(ctx)
	if err = errors.Join(err, failed); err == nil && packs > 0 {
		_, err = fmt.Fprintf(w, "\t\t%s\t\t  of that compressed lightly, until no import runs (at once: ingot gc --settle)\n", c.size(bytes))
	}
	return err
}

// usagePage is how many images are asked for at once.
const usagePage = 200

func (c *usageCmd) images(ctx context.Context, cat *catalog.Catalog, a image.Account, w io.Writer) error {
	fmt.Fprintln(w, "ID\tLOGICAL\tSTORED\tSHARED\t  NAME")
	for page := 1; ; page++ {
		total, images, err := cat.Usage(ctx, a.ID, image.Page{Number: page, Size: usagePage})
		if err != nil {
			return err
		}
		for _, u := range images {
			fmt.Fprintf(w, "%d\t%s\t  %s\n", u.ID, c.usage(u.Usage), u.Name)
		}
		if len(images) < usagePage {
			_, err = fmt.Fprintf(w, "\t%s\t  in all, %d images\n", c.usage(total), total.Images)
			return err
		}
	}
}

func (c *usageCmd) usage(u image.Usage) string {
	return c.size(u.Logical) + "\t" + c.size(u.Stored) + "\t" + c.size(u.Shared)
}

func (c *usageCmd) size(n int64) string {
	if c.Bytes {
		return strconv.FormatInt(n, 10)
	}
	return sizeText(n)
}
