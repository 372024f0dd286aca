package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Make an account."`
	List   accountListCmd   `cmd:"" help:"List the accounts."`
}

type accountCreateCmd struct {
	dataFlags
	Name       string `arg:"" help:"The account's name, unique."`
	Email      string `help:"The address that the account API shows."`
	MaxImages  int64  `help:"Images at most; 0 is no bound."`
	MaxBytes   int64  `help:"Bytes of guest data at most, before compression and sharing; 0 is no bound."`
	MaxImports int64  `help:"Imports queued or running at once at most; 0 is no bound."`
}

func (c *accountCreateCmd) Run(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	account, err := cat.CreateAccount(ctx, image.Account{
		Name: c.Name, Email: c.Email,
		Quota: image.Quota{Images: c.MaxImages, Bytes: c.MaxBytes, Imports: c.MaxImports},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(term.Err, "Account %s made. Its first token: ingot token create --account %s\n", account.Name, account.Name)
	_, err = fmt.Fprintln(term.Out, account.UUID)
	return err
}

type accountListCmd struct{ dataFlags }

func (c *accountListCmd) Run(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	accounts, err := cat.Accounts(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(term.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tUUID\tEMAIL\tCREATED\tMAX IMAGES\tMAX BYTES\tMAX IMPORTS")
	for _, a := range accounts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, a.UUID, a.Email, a.CreatedAt.Format(time.DateOnly),
			bound(a.Quota.Images), bound(a.Quota.Bytes), bound(a.Quota.Imports))
	}
	return w.Flush()
}

func bound(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

// withAccount opens the catalogue, finds an account by its name and hands both over.
func (f dataFlags) withAccount(ctx context.Context, name string, do func(*catalog.Catalog, image.Account) error) error {
	cat, err := f.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	accounts, err := cat.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if a.Name == name {
			return do(cat, a)
		}
	}
	return fmt.Errorf("there is no account %q; ingot account list shows them", name)
}
