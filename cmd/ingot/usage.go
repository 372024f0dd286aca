package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"ingot/gradient/ingot"
	"ingot/gradient/option"
	"ingot/internal/catalog"
	"ingot/internal/image"
)

// usageCmd has no defaults for where it looks: what is given decides whose view it shows.
type usageCmd struct {
	Service  string `help:"The URL of a service, which tells what the token's account holds." env:"INGOT_URL" placeholder:"URL"`
	Token    string `help:"The token. Without it, the one that the first start left in ./ingot-data." env:"INGOT_TOKEN"`
	Data     string `help:"The data directory (./ingot-data), for what all accounts hold, whether or not a service runs on it. This, --database and --account go before --service and --token." type:"path" placeholder:"DIR"`
	Database string `help:"The catalogue: sqlite:FILE or postgres://USER@HOST/NAME. Without it, a SQLite file in the data directory." placeholder:"URL"`
	Account  string `help:"Show the images of this account, from the data directory." placeholder:"NAME"`
	Bytes    bool   `help:"Show every size as a number of bytes."`
	Output   string `short:"o" help:"text or json, in which every size is a number of bytes." enum:"text,json" default:"text" env:"-"`
}

// Run shows an account what its images hold, through the API, and the operator what those of every account do.
func (c *usageCmd) Run(ctx context.Context, term terminal) error {
	data := dataFlags{Data: cmp.Or(c.Data, kong.ExpandPath("./ingot-data")), Database: c.Database}
	if c.Account != "" {
		return data.withAccount(ctx, c.Account, func(cat *catalog.Catalog, a image.Account) error {
			return c.images(term, func(page int) (*ingot.Usage, error) { return storedUsage(ctx, cat, a.ID, page) })
		})
	}
	if c.Data == "" && c.Database == "" && (c.Service != "" || c.Token != "") {
		cl, err := clientFlags{Service: cmp.Or(c.Service, "http://127.0.0.1:8080"), Token: c.Token, Data: data.Data}.client()
		if err != nil {
			return err
		}
		return c.images(term, func(page int) (*ingot.Usage, error) {
			return cl.more.Usage.Get(ctx, option.WithQuery("page", strconv.Itoa(page)), option.WithQuery("per_page", strconv.Itoa(usagePage)))
		})
	}
	cat, err := data.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	all, err := usageOfAll(ctx, cat)
	if err != nil {
		return err
	}
	return c.print(term, all, func(w io.Writer) { c.accounts(w, all) })
}

// usagePage is how many images are asked for at once.
const usagePage = 200

// images shows an account's images, which come in pages.
func (c *usageCmd) images(term terminal, get func(page int) (*ingot.Usage, error)) error {
	all := ingot.Usage{Images: []ingot.ImageUsage{}}
	for page := 1; ; page++ {
		u, err := get(page)
		if err != nil {
			return err
		}
		all.Account, all.Images = u.Account, append(all.Images, u.Images...)
		if len(u.Images) < usagePage {
			break
		}
	}
	return c.print(term, all, func(w io.Writer) {
		fmt.Fprintln(w, "ID\tLOGICAL\tSTORED\tSHARED\t  NAME")
		for _, u := range all.Images {
			fmt.Fprintf(w, "%d\t%s\t  %s\n", u.ImageID, c.usage(u.StorageUsage), u.Name)
		}
		fmt.Fprintf(w, "\t%s\t  in all, %d images\n", c.usage(all.Account.StorageUsage), all.Account.Images)
	})
}

func (c *usageCmd) accounts(w io.Writer, all *allUsage) {
	fmt.Fprintln(w, "IMAGES\tLOGICAL\tSTORED\tSHARED\t  ACCOUNT")
	for _, a := range all.Accounts {
		fmt.Fprintf(w, "%d\t%s\t  %s\n", a.Images, c.usage(a.StorageUsage), a.Name)
	}
	fmt.Fprintf(w, "\t\t%s\t\t  for no image: imports that run, and what waits for a sweep\n\t\t%s\t\t  in all\n",
		c.size(all.Other), c.size(all.Stored))
	if all.Unsettled > 0 {
		fmt.Fprintf(w, "\t\t%s\t\t  of that compressed lightly, until no import runs (at once: ingot gc --settle)\n", c.size(all.Unsettled))
	}
}

func (c *usageCmd) print(term terminal, value any, table func(io.Writer)) error {
	return clientFlags{Output: c.Output}.print(term, value, func(out io.Writer) error {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		table(w)
		return w.Flush()
	})
}

func (c *usageCmd) usage(u ingot.StorageUsage) string {
	return c.size(u.LogicalBytes) + "\t" + c.size(u.StoredBytes) + "\t" + c.size(u.SharedBytes)
}

func (c *usageCmd) size(n int64) string {
	if c.Bytes {
		return strconv.FormatInt(n, 10)
	}
	return sizeText(n)
}
