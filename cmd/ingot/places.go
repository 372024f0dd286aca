package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ingot/internal/store"
	"ingot/internal/store/local"
	"ingot/internal/store/s3"
)

// storeURL returns a store's URL in the one way in which the catalogue knows it.
func storeURL(url string) (string, error) {
	if dir, ok := strings.CutPrefix(url, "file:"); ok && dir != "" {
		return url, nil
	}
	if !strings.HasPrefix(url, "s3:") {
		return "", usageError{fmt.Errorf("%q is no store: write file:DIR or s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION", url)}
	}
	place, err := s3.ParsePlace(url)
	if err != nil {
		return "", usageError{err}
	}
	return place.String(), nil
}

// openObjects opens a place of objects. A relative folder is in the data directory.
func openObjects(url, data string) (store.Objects, error) {
	url, err := storeURL(url)
	if err != nil {
		return nil, err
	}
	dir, ok := strings.CutPrefix(url, "file:")
	if !ok {
		place, err := s3.ParsePlace(url)
		if err != nil {
			return nil, err
		}
		return s3.Open(place, nil)
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(data, dir)
	}
	return local.Open(dir)
}

// checkStores opens the store of every region once and, where it is elsewhere, tries all that a store does. It returns
// the stores' URLs by region.
func (s *service) checkStores(ctx context.Context) (map[string]string, error) {
	urls := s.cmd.storeURLs()
	checked := map[string]bool{}
	for _, region := range slices.Sorted(maps.Keys(urls)) {
		url, err := storeURL(urls[region])
		if err == nil && !checked[url] {
			err = checkStore(ctx, url, s.cmd.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("the store of region %s: %w", region, err)
		}
		urls[region], checked[url] = url, true
	}
	return urls, nil
}

func checkStore(ctx context.Context, url, data string) error {
	objects, err := openObjects(url, data)
	if err != nil {
		return err
	}
	if remote, ok := objects.(interface{ Check(context.Context) error }); ok {
		return remote.Check(ctx)
	}
	return nil
}
