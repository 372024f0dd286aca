package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"ingot/internal/catalog"
	"ingot/internal/image"
)

// publishCmd makes images public, from the catalogue's side: the operator's right is the database's, not a token's.
type publishCmd struct {
	dataFlags
	ID           int64    `arg:"" optional:"" help:"An image that is available, or one that was retired: it comes back as it was where nothing else is said."`
	URL          string   `help:"Import the image from this URL first." env:"-" xor:"source"`
	From         string   `help:"Publish every image of a catalogue, a YAML file (docs/publishing.md). What is published already is left alone." type:"existingfile" placeholder:"FILE" env:"-" xor:"source"`
	Slug         string   `help:"The name that clients ask for, for example debian-12-x64." env:"-"`
	Kind         string   `help:"distribution or application." enum:",distribution,application" default:"" placeholder:"KIND" env:"-"`
	Name         string   `help:"The image's name. Without it, the name that the image has, or the slug." env:"-"`
	Distribution string   `help:"The distribution, for example Debian." env:"-"`
	Region       []string `help:"A region that the image is to be in; repeatable. Without it, with --url, every region of the store that most regions have." env:"-"`
	Type         string   `help:"The type that the API shows: base or snapshot." enum:",base,snapshot" default:"" placeholder:"base" env:"-"`
	Replace      bool     `help:"Take the slug from the image that has it, which is retired." env:"-"`
	Account      string   `help:"The account that the imported image belongs to." default:"default"`
	NoWait       bool     `help:"Do not wait for the import; the image becomes public when that ends." env:"-"`
}

// Run publishes one image, or the images of a catalogue.
func (c *publishCmd) Run(ctx context.Context, term terminal) error {
	given := 0
	for _, is := range []bool{c.ID != 0, c.URL != "", c.From != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usageError{errors.New("name one image by its id, or give --url or --from")}
	}
	if c.ID != 0 {
		return c.publishOne(ctx, term)
	}
	if c.From == "" && (c.Slug == "" || c.Kind == "") {
		return errUnnamed
	}
	entries := []entry{{c.Slug, c.Name, c.Distribution, c.URL, c.Kind, c.Region, c.Type}}
	if c.From != "" {
		var err error
		if entries, err = readEntries(c.From); err != nil {
			return err
		}
	}
	return c.withAccount(ctx, c.Account, func(cat *catalog.Catalog, account image.Account) error {
		p, err := newPublisher(ctx, cat, account, term)
		if err != nil {
			return err
		}
		p.replace, p.wait = c.Replace || c.From != "", !c.NoWait
		return p.publish(ctx, entries)
	})
}

var errUnnamed = usageError{errors.New("--slug and --kind are needed")}

// publishOne makes one image public. One that is public, or was until it was retired, keeps what is not said anew.
func (c *publishCmd) publishOne(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	var former image.Image
	if m, err := cat.Image(ctx, nobody, c.ID); err == nil {
		former = m
	} else if image.KindOf(err) != image.NotFound {
		return err
	}
	p := image.Publication{
		Slug: cmp.Or(c.Slug, former.Slug), Kind: cmp.Or(c.Kind, former.Kind), Type: cmp.Or(image.Type(c.Type), former.Type, image.Base),
		Name: c.Name, Regions: c.Region, Replace: c.Replace,
	}
	if p.Slug == "" || p.Kind == "" {
		return errUnnamed
	}
	if c.Distribution != "" {
		p.Distribution = image.Distribution(c.Distribution)
	}
	m, err := cat.MakePublic(ctx, c.ID, p)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.Out, "%s\t%d\tpublished\n", m.Slug, m.ID)
	return err
}

// nobody is no account's id: it sees what all accounts see.
const nobody = 0

// publisher brings what is public to what entries say.
type publisher struct {
	cat     *catalog.Catalog
	account image.Account
	regions regionStores
	term    terminal
	replace bool // who has a slug that another is to have loses it
	wait    bool
}

func newPublisher(ctx context.Context, cat *catalog.Catalog, account image.Account, term terminal) (*publisher, error) {
	regions, err := openRegionStores(ctx, cat)
	return &publisher{cat: cat, account: account, regions: regions, term: term}, err
}

// publish checks every entry before it touches anything, begins every import that is needed, and then waits for them.
// One that fails does not keep the others from it.
func (p *publisher) publish(ctx context.Context, entries []entry) error {
	requests := make([]image.Create, len(entries))
	for i, e := range entries {
		var err error
		if requests[i], err = e.request(p.regions); err != nil {
			return fmt.Errorf("%s: %s", cmp.Or(e.Slug, "entry "+strconv.Itoa(i+1)), message(err))
		}
	}
	begun := make([]image.Image, len(entries))
	states := make([]string, len(entries))
	failed := 0
	for i, in := range requests {
		var err error
		if begun[i], states[i], err = p.begin(ctx, in); err != nil {
			states[i] = "failed: " + message(err)
			failed++
		}
	}
	for i, m := range begun {
		if states[i] == stateImporting && p.wait {
			states[i] = "published"
			if err := await(ctx, p.term, p.cat, m); err != nil {
				states[i] = "failed: " + message(err)
				failed++
			}
		}
		if _, err := fmt.Fprintf(p.term.Out, "%s\t%d\t%s\n", requests[i].Publish.Slug, m.ID, states[i]); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d images could not be published", failed, len(entries))
	}
	return nil
}

const stateImporting = "importing"

// begin does what an entry needs: nothing, a change of what is public, or an import, which publishes at its end.
func (p *publisher) begin(ctx context.Context, in image.Create) (image.Image, string, error) {
	m, same, err := p.cat.Published(ctx, in.Publish.Slug, in.URL)
	if err != nil && image.KindOf(err) != image.NotFound {
		return m, "", err
	}
	there := err == nil
	if there && same && !isDamaged(m) {
		return p.keep(ctx, m, in)
	}
	if !p.replace {
		if err := p.free(ctx, in.Publish.Slug, m); err != nil {
			return m, "", err
		}
	}
	if there && isImporting(m) {
		// It would take the slug back if it ended later than what is to replace it.
		if err := p.cat.DeleteImage(ctx, m.AccountID, m.ID); err != nil {
			return m, "", err
		}
	}
	m, err = p.cat.CreateImage(ctx, p.account.ID, in, image.IdempotencyKey{})
	return m, stateImporting, err
}

// free refuses a slug that an image has, or is to have when its import has ended. last is what was imported for it last.
func (p *publisher) free(ctx context.Context, slug string, last image.Image) error {
	holder, err := p.cat.ImageBySlug(ctx, nobody, slug)
	switch {
	case err != nil && image.KindOf(err) != image.NotFound:
		return err
	case err == nil && isDamaged(holder):
		return fmt.Errorf("image %d, which has the slug %s, is damaged; --replace imports it anew", holder.ID, slug)
	case err == nil && holder.Status != image.Retired:
		return fmt.Errorf("image %d has the slug %s; --replace takes it", holder.ID, slug)
	case isImporting(last):
		return fmt.Errorf("image %d is being imported from another URL for the slug %s; --replace deletes it", last.ID, slug)
	}
	return nil
}

// isImporting tells an image that has no content yet: one whose content is damaged is pending too.
func isImporting(m image.Image) bool {
	return (m.Status == image.New || m.Status == image.Pending) && m.Digest == ""
}

func isDamaged(m image.Image) bool { return m.Status == image.Pending && m.Digest != "" }

// keep looks after an image that was imported from the same URL before.
func (p *publisher) keep(ctx context.Context, m image.Image, in image.Create) (image.Image, string, error) {
	switch {
	case isImporting(m):
		return m, stateImporting, nil
	case m.Status == image.Retired:
		return m, "retired, and left alone: ingot publish " + strconv.FormatInt(m.ID, 10) + " brings it back", nil
	case m.Name == in.Name && m.Distribution == in.Distribution && m.Kind == in.Publish.Kind && m.Type == in.Publish.Type &&
		m.Slug == in.Publish.Slug && !slices.ContainsFunc(in.Publish.Regions, func(r string) bool { return !slices.Contains(m.Regions, r) }):
		return m, "unchanged", nil
	}
	want := *in.Publish
	want.Name, want.Distribution, want.Replace = in.Name, in.Distribution, p.replace
	m, err := p.cat.MakePublic(ctx, m.ID, want)
	return m, "updated", err
}

type retireCmd struct {
	dataFlags
	Image string `arg:"" help:"The id or the slug of a public image."`
}

// Run takes a public image out of every list. Its id and its slug stay readable.
func (c *retireCmd) Run(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	id, err := strconv.ParseInt(c.Image, 10, 64)
	if err != nil {
		m, err := cat.ImageBySlug(ctx, nobody, c.Image)
		if err != nil {
			return fmt.Errorf("there is no public image %q", c.Image)
		}
		id = m.ID
	}
	m, err := cat.Retire(ctx, id)
	if image.KindOf(err) == image.NotFound {
		return fmt.Errorf("there is no image %d", id)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(term.Out, "%s\t%d\tretired\n", m.Slug, m.ID)
	return err
}
