package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"ingot/internal/catalog"
	"ingot/internal/image"
)

// entry is one image that is to be public.
type entry struct {
	Slug         string   `yaml:"slug"`
	Name         string   `yaml:"name"`
	Distribution string   `yaml:"distribution"`
	URL          string   `yaml:"url"`
	Kind         string   `yaml:"kind"`
	Regions      []string `yaml:"regions"`
	Type         string   `yaml:"type"`
}

// readEntries reads a catalogue of public images. Keys that it does not know are refused: they are mistyped.
func readEntries(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var file struct {
		Images []entry `yaml:"images"`
	}
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	seen := map[string]bool{}
	for _, e := range file.Images {
		if seen[e.Slug] {
			return nil, fmt.Errorf("%s: the slug %q is there twice", path, e.Slug)
		}
		seen[e.Slug] = true
	}
	if len(file.Images) == 0 {
		return nil, fmt.Errorf("%s: there is nothing under the key images", path)
	}
	return file.Images, nil
}

// request is the import that makes an entry's image.
func (e entry) request(regions regionStores) (image.Create, error) {
	slugs := e.Regions
	if len(slugs) == 0 {
		slugs = regions.together()
	}
	if err := regions.check(slugs); err != nil {
		return image.Create{}, err
	}
	in := image.Create{
		Name: cmp.Or(e.Name, e.Slug), URL: e.URL, Distribution: e.Distribution, Region: slugs[0],
		Publish: &image.Publication{Slug: e.Slug, Kind: e.Kind, Type: cmp.Or(image.Type(e.Type), image.Base), Regions: slugs},
	}
	if err := in.Publish.Validate(); err != nil {
		return in, err
	}
	return in, in.Validate(regions.list())
}

// regionStores are the regions of the service, with the stores that they keep their images in.
type regionStores map[string]int64

func openRegionStores(ctx context.Context, cat *catalog.Catalog) (regionStores, error) {
	regions, err := cat.Regions(ctx)
	if err == nil && len(regions) == 0 {
		err = errors.New("no service was ever started on this catalogue, so there are no regions; run ingot serve first")
	}
	return regions, err
}

func (r regionStores) list() []image.Region {
	var list []image.Region
	for _, slug := range slices.Sorted(maps.Keys(r)) {
		list = append(list, image.Region{Slug: slug, Name: slug})
	}
	return list
}

// together returns the most regions that share a store.
func (r regionStores) together() (most []string) {
	byStore := map[int64][]string{}
	for _, slug := range slices.Sorted(maps.Keys(r)) {
		all := append(byStore[r[slug]], slug)
		if byStore[r[slug]] = all; len(all) > len(most) {
			most = all
		}
	}
	return most
}

// check refuses regions that there are not.
func (r regionStores) check(slugs []string) error {
	for _, slug := range slugs {
		if err := image.ValidateRegion(slug, r.list()); err != nil {
			return fmt.Errorf("%q: %s", slug, message(err))
		}
	}
	return nil
}
