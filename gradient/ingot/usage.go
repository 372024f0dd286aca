package ingot

import (
	"context"
	"net/http"

	"ingot/gradient"
	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
	"ingot/gradient/packages/pagination"
)

// UsageService tells how much storage is in use.
type UsageService struct{ Options []option.RequestOption }

// Usage is the storage of an account and of the images on one page.
type Usage struct {
	Account AccountUsage `json:"account"`
	Images  []ImageUsage `json:"images"`
}

// AccountUsage is what all images of an account hold together.
type AccountUsage struct {
	Images int64 `json:"images"` // how many
	StorageUsage
}

// ImageUsage is what one image holds.
type ImageUsage struct {
	ImageID int64  `json:"image_id"`
	Name    string `json:"name"`
	StorageUsage
}

// StorageUsage counts bytes.
type StorageUsage struct {
	// LogicalBytes is guest data before compression and sharing.
	LogicalBytes int64 `json:"logical_bytes"`
	// StoredBytes is the part of what is on the disk: what several images need is divided among them.
	StoredBytes int64 `json:"stored_bytes"`
	// SharedBytes is what is needed beyond that part, and counted in the parts of other images; compressed.
	SharedBytes int64 `json:"shared_bytes"`
}

type usageAnswer struct {
	Usage Usage
	Links gradient.PageLinks
}

// Get retrieves the storage that the account uses, with the first page of its images; see [option.WithQuery] for
// another.
func (s *UsageService) Get(ctx context.Context, opts ...option.RequestOption) (*Usage, error) {
	answer, err := requestconfig.Answer[usageAnswer](ctx, http.MethodGet, "v2/usage", nil, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	return &answer.Usage, nil
}

// ListAutoPaging walks over what each of the account's images holds.
func (s *UsageService) ListAutoPaging(ctx context.Context, opts ...option.RequestOption) *pagination.AutoPager[ImageUsage] {
	return pager(func(page int64) ([]ImageUsage, string, int64, error) {
		var answer usageAnswer
		number, err := requestconfig.DoPage(ctx, "v2/usage", nil, page, &answer, merged(s.Options, opts)...)
		return answer.Usage.Images, answer.Links.Pages.Next, number, err
	})
}
