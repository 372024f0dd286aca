package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/store"
)

type fsckCmd struct {
	dataFlags
	Repair bool          `help:"Restore what can be, and mark images that cannot be, so that they are not served as good."`
	Quick  bool          `help:"Look at the existence and the sizes of objects alone, and read nothing."`
	Grace  time.Duration `help:"With --repair: how long objects that nobody knows of are left before a sweep takes them." default:"24h"`
	Output string        `help:"text or json." short:"o" default:"text" enum:"text,json" env:"-"`
}

// finding is what a person or a program reads of one damage.
type finding struct {
	Store  string               `json:"store"`
	Code   store.DamageCode     `json:"code"`
	Object string               `json:"object"`
	Detail string               `json:"detail"`
	Images []catalog.NamedImage `json:"images"`
	Repair string               `json:"repair,omitempty"`
	Mended bool                 `json:"mended"`
	Todo   string               `json:"todo,omitempty"`
}

// errUnsound ends a check that found damage, all of which has been printed.
var errUnsound = errors.New("the stores have damage")

// Run checks every store of a data directory, whether or not a service runs on it.
func (c *fsckCmd) Run(ctx context.Context, term terminal) error {
	if c.Quick && c.Repair {
		return usageError{errors.New("--repair needs the full check; leave out --quick")}
	}
	if c.Grace < 0 {
		return usageError{errors.New("--grace is at least 0s")}
	}
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	kept, err := openStores(ctx, cat, c.Data)
	if err != nil {
		return err
	}
	urls, err := cat.Stores(ctx)
	if err != nil {
		return err
	}
	err = c.check(ctx, term, cat, kept, urls)
	for id, missing := range kept.missing { // the others are checked nevertheless
		err = errors.Join(err, fmt.Errorf("the store %s cannot be checked: %w", urls[id], missing))
	}
	return err
}

// fscking is the checking of all stores.
type fscking struct {
	*fsckCmd
	term     terminal
	cat      *catalog.Catalog
	bar      *bar
	findings []finding // for JSON alone: as text each is printed when it is found
	total    store.CheckReport
	counters int // kept counts that were wrong and are right now
}

func (c *fsckCmd) check(ctx context.Context, term terminal, cat *catalog.Catalog, kept *stores, urls map[int64]string) error {
	f := &fscking{fsckCmd: c, term: term, cat: cat, bar: newBar(term), findings: []finding{}}
	for _, id := range slices.Sorted(maps.Keys(kept.byID)) {
		var others []*store.Store
		for other, s := range kept.byID {
			if other != id {
				others = append(others, s)
			}
		}
		if err := f.store(ctx, kept.byID[id], others, cat.Index(id), urls[id]); err != nil {
			f.bar.close()
			return fmt.Errorf("the check of the store %s could not go on: %w", urls[id], err)
		}
	}
	f.bar.close()
	var err error
	if f.counters, err = cat.CheckCounters(ctx); err != nil {
		return fmt.Errorf("the check of the kept counts: %w", err)
	}
	return f.report()
}

func (f *fscking) store(ctx context.Context, s *store.Store, others []*store.Store, index *catalog.ChunkIndex, url string) error {
	_, bytes, err := index.Extent(ctx)
	if err != nil {
		return err
	}
	var failed error
	report, err := s.CheckWith(ctx, store.CheckOptions{
		Quick: f.Quick, Repair: f.Repair, Others: others, Grace: f.Grace,
		Progress: func(r store.CheckReport) { f.bar.show("checking", r.Bytes, bytes) },
	}, func(d store.Damage) { failed = errors.Join(failed, f.found(ctx, url, d)) })
	f.total.Packs, f.total.Chunks, f.total.Manifests = f.total.Packs+report.Packs, f.total.Chunks+report.Chunks, f.total.Manifests+report.Manifests
	f.total.Objects, f.total.Bytes = f.total.Objects+report.Objects, f.total.Bytes+report.Bytes
	f.total.Damages, f.total.Left = f.total.Damages+report.Damages, f.total.Left+report.Left
	return errors.Join(err, failed)
}

func (f *fscking) found(ctx context.Context, url string, d store.Damage) error {
	images, err := f.cat.NameImages(ctx, d.Images)
	if err != nil {
		return err
	}
	one := finding{Store: url, Code: d.Code, Object: d.Object, Detail: d.Detail, Images: images, Repair: d.Repair, Mended: d.Mended}
	if !d.Mended {
		one.Todo = todo(d, f.Repair)
	}
	if f.Output == "json" {
		f.findings = append(f.findings, one)
		return nil
	}
	f.bar.close() // a bar and findings do not share a terminal
	f.bar = &bar{}
	_, err = fmt.Fprint(f.term.Out, one.text())
	return err
}

// todo is what an operator can do about what is left.
func todo(d store.Damage, repaired bool) string {
	switch {
	case !repaired && d.Code == store.ObjectUnexpected:
		return "run ingot fsck --repair, which leaves it to a later sweep"
	case !repaired:
		return "run ingot fsck --repair, which restores what can be and marks the images that cannot be read"
	case len(d.Images) > 0:
		return "create the image again from its source, or put the store's files back from a copy, and run ingot fsck --repair again; " +
			"or delete the image"
	}
	return "run ingot fsck --repair again"
}

// namesShown is how many images of a finding are written out as text; JSON has them all.
const namesShown = 20

func (f finding) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n    %s\n", f.Code, f.Object, f.Detail)
	for i, m := range f.Images {
		if i == namesShown {
			fmt.Fprintf(&b, "    … and %d more\n", len(f.Images)-i)
			break
		}
		fmt.Fprintf(&b, "    image %d %q of account %s\n", m.ID, m.Name, m.Account)
	}
	if f.Repair != "" {
		fmt.Fprintf(&b, "    done: %s\n", f.Repair)
	}
	if f.Todo != "" {
		fmt.Fprintf(&b, "    to do: %s\n", f.Todo)
	}
	return b.String()
}

// report says what was looked at, and fails if damage is left.
func (f *fscking) report() error {
	if f.Output == "json" {
		enc := json.NewEncoder(f.term.Out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"sound": f.total.Left == 0, "findings": f.findings,
			"objects": f.total.Objects, "packs": f.total.Packs, "chunks": f.total.Chunks, "manifests": f.total.Manifests, "bytes": f.total.Bytes,
			"counters_corrected": f.counters,
		}); err != nil {
			return err
		}
	} else if err := f.summary(); err != nil {
		return err
	}
	if f.total.Left > 0 {
		return fmt.Errorf("%w: %d of %d findings are not mended", errUnsound, f.total.Left, f.total.Damages)
	}
	return nil
}

func (f *fscking) summary() error {
	what := fmt.Sprintf("%d packs with %d chunks, and %d manifests", f.total.Packs, f.total.Chunks, f.total.Manifests)
	if f.Quick {
		what = fmt.Sprintf("the sizes of %d objects", f.total.Objects)
	}
	_, err := fmt.Fprintf(f.term.Out, "checked %s, %s: %d findings\n", what, sizeText(f.total.Bytes), f.total.Damages)
	if err == nil && f.counters > 0 {
		_, err = fmt.Fprintf(f.term.Out, "%d kept counts, of quotas or lists, were wrong and have been put right\n", f.counters)
	}
	return err
}
