package ingot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"ingot/gradient"
	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
	"ingot/gradient/packages/pagination"
)

// TagService creates, lists and deletes tags, and puts them on images.
type TagService struct{ Options []option.RequestOption }

// Tag is a tag. Names that differ in capitals alone are one tag.
type Tag struct {
	Name      string       `json:"name"`
	Resources TagResources `json:"resources"`
}

// TagResources counts what has a tag.
type TagResources struct {
	Count  int64 `json:"count"`
	Images struct {
		Count int64 `json:"count"`
	} `json:"images"`
}

type tagAnswer struct{ Tag Tag }

// New creates a tag. One that exists already is no error.
func (s *TagService) New(ctx context.Context, name string, opts ...option.RequestOption) (*Tag, error) {
	body := map[string]string{"name": name}
	return tagOf(requestconfig.Answer[tagAnswer](ctx, http.MethodPost, "v2/tags", body, merged(s.Options, opts)...))
}

// Get retrieves a tag.
func (s *TagService) Get(ctx context.Context, name string, opts ...option.RequestOption) (*Tag, error) {
	segment, err := requestconfig.PathString("tag_name", name)
	if err != nil {
		return nil, err
	}
	return tagOf(requestconfig.Answer[tagAnswer](ctx, http.MethodGet, "v2/tags/"+segment, nil, merged(s.Options, opts)...))
}

func tagOf(a *tagAnswer, err error) (*Tag, error) {
	if err != nil {
		return nil, err
	}
	return &a.Tag, nil
}

// ListAutoPaging walks over all tags.
func (s *TagService) ListAutoPaging(ctx context.Context, opts ...option.RequestOption) *pagination.AutoPager[Tag] {
	return list[Tag](ctx, "v2/tags", "tags", merged(s.Options, opts))
}

// Delete deletes a tag, and takes it off everything that has it.
func (s *TagService) Delete(ctx context.Context, name string, opts ...option.RequestOption) error {
	segment, err := requestconfig.PathString("tag_name", name)
	if err != nil {
		return err
	}
	return requestconfig.Do(ctx, http.MethodDelete, "v2/tags/"+segment, nil, nil, merged(s.Options, opts)...)
}

// TagImages puts an existing tag on images: on all of them or none.
func (s *TagService) TagImages(ctx context.Context, name string, imageIDs []int64, opts ...option.RequestOption) error {
	return s.resources(ctx, http.MethodPost, name, imageIDs, opts)
}

// UntagImages takes a tag off images: off all of them or none.
func (s *TagService) UntagImages(ctx context.Context, name string, imageIDs []int64, opts ...option.RequestOption) error {
	return s.resources(ctx, http.MethodDelete, name, imageIDs, opts)
}

func (s *TagService) resources(ctx context.Context, method, name string, imageIDs []int64, opts []option.RequestOption) error {
	segment, err := requestconfig.PathString("tag_name", name)
	if err != nil {
		return err
	}
	type resource struct {
		ID   string `json:"resource_id"`
		Type string `json:"resource_type"`
	}
	list := []resource{}
	for _, id := range imageIDs {
		list = append(list, resource{strconv.FormatInt(id, 10), "image"})
	}
	body := map[string][]resource{"resources": list}
	return requestconfig.Do(ctx, method, "v2/tags/"+segment+"/resources", body, nil, merged(s.Options, opts)...)
}

// RegionService lists regions.
type RegionService struct{ Options []option.RequestOption }

// ListAutoPaging walks over all regions.
func (s *RegionService) ListAutoPaging(ctx context.Context, opts ...option.RequestOption) *pagination.AutoPager[gradient.Region] {
	return list[gradient.Region](ctx, "v2/regions", "regions", merged(s.Options, opts))
}

// list walks over a list whose items are under a key.
func list[T any](ctx context.Context, path, key string, opts []option.RequestOption) *pagination.AutoPager[T] {
	return pager(func(page int64) (items []T, next string, number int64, err error) {
		var answer map[string]json.RawMessage
		if number, err = requestconfig.DoPage(ctx, path, nil, page, &answer, opts...); err != nil {
			return nil, "", 0, err
		}
		var links gradient.PageLinks
		for key, into := range map[string]any{key: &items, "links": &links} {
			if answer[key] == nil {
				continue
			}
			if err := json.Unmarshal(answer[key], into); err != nil {
				return nil, "", 0, fmt.Errorf("%s: %s: %w", path, key, err)
			}
		}
		return items, links.Pages.Next, number, nil
	})
}

// pager walks over pages. get gets one, 0 the first, and returns its items, its link to the next, and its number.
func pager[T any](get func(page int64) (items []T, next string, number int64, err error)) *pagination.AutoPager[T] {
	var fetch func(page int64) pagination.Fetch[T]
	fetch = func(page int64) pagination.Fetch[T] {
		return func() ([]T, pagination.Fetch[T], error) {
			items, link, number, err := get(page)
			if err != nil {
				return nil, nil, err
			}
			next, err := pagination.NextPage(link, number)
			switch {
			case err != nil: // after the items, which are good
				return items, func() ([]T, pagination.Fetch[T], error) { return nil, nil, err }, nil
			case next == 0:
				return items, nil, nil
			}
			return items, fetch(next), nil
		}
	}
	return pagination.NewAutoPager(fetch(0))
}
