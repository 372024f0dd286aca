package main

import (
	"context"

	"ingot/gradient/ingot"
	"ingot/internal/catalog"
	"ingot/internal/image"
)

// allUsage is what the stores of a service hold.
type allUsage struct {
	Accounts  []accountUsage `json:"accounts"`
	Other     int64          `json:"other_bytes"`     // for no image
	Stored    int64          `json:"stored_bytes"`    // in all
	Unsettled int64          `json:"unsettled_bytes"` // of that compressed lightly
}

type accountUsage struct {
	Name string `json:"name"`
	ingot.AccountUsage
}

func usageOfAll(ctx context.Context, cat *catalog.Catalog) (*allUsage, error) {
	accounts, other, err := cat.UsageByAccount(ctx)
	if err != nil {
		return nil, err
	}
	all := &allUsage{Accounts: []accountUsage{}, Other: other, Stored: other}
	for _, a := range accounts {
		all.Accounts = append(all.Accounts, accountUsage{a.Name, ingot.AccountUsage{Images: a.Images, StorageUsage: storageUsage(a.Usage)}})
		all.Stored += a.Stored
	}
	_, all.Unsettled, err = cat.Unsettled(ctx)
	return all, err
}

// storedUsage is what GET /v2/usage would answer to an account, from the catalogue.
func storedUsage(ctx context.Context, cat *catalog.Catalog, account int64, page int) (*ingot.Usage, error) {
	total, images, err := cat.Usage(ctx, account, image.Page{Number: page, Size: usagePage})
	if err != nil {
		return nil, err
	}
	u := &ingot.Usage{Account: ingot.AccountUsage{Images: total.Images, StorageUsage: storageUsage(total)}}
	for _, m := range images {
		u.Images = append(u.Images, ingot.ImageUsage{ImageID: m.ID, Name: m.Name, StorageUsage: storageUsage(m.Usage)})
	}
	return u, nil
}

func storageUsage(u image.Usage) ingot.StorageUsage {
	return ingot.StorageUsage{LogicalBytes: u.Logical, StoredBytes: u.Stored, SharedBytes: u.Shared}
}
