package gradient

import (
	"context"
	"net/http"
	"slices"

	"ingot/gradient/internal/apijson"
	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
	"ingot/gradient/packages/pagination"
	"ingot/gradient/packages/respjson"
)

// GPUDropletImageService creates, reads, changes and deletes images. Make it by [NewClient].
type GPUDropletImageService struct {
	Options []option.RequestOption
	Actions GPUDropletImageActionService
}

// NewGPUDropletImageService returns a service with options for each request. It does not read the environment.
func NewGPUDropletImageService(opts ...option.RequestOption) GPUDropletImageService {
	return GPUDropletImageService{Options: opts, Actions: NewGPUDropletImageActionService(opts...)}
}

// New creates a custom image from the disk image at a URL: raw, qcow2, VHDX, VDI or VMDK, plain or in gzip or bzip2,
// smaller than 100 GB when decompressed. The import goes on when New has returned: see the image's Status and
// ErrorMessage.
func (r *GPUDropletImageService) New(ctx context.Context, body GPUDropletImageNewParams, opts ...option.RequestOption) (*GPUDropletImageNewResponse, error) {
	return requestconfig.Answer[GPUDropletImageNewResponse](ctx, http.MethodPost, "v2/images", body, slices.Concat(r.Options, opts)...)
}

// Get retrieves an image by its id, or a public one by its slug.
func (r *GPUDropletImageService) Get(ctx context.Context, imageID GPUDropletImageGetParamsImageIDUnion, opts ...option.RequestOption) (*GPUDropletImageGetResponse, error) {
	segment, err := imageID.path()
	if err != nil {
		return nil, err
	}
	return requestconfig.Answer[GPUDropletImageGetResponse](ctx, http.MethodGet, "v2/images/"+segment, nil, slices.Concat(r.Options, opts)...)
}

// Update changes an image's name, distribution or description; what is not set stays as it is.
func (r *GPUDropletImageService) Update(ctx context.Context, imageID int64, body GPUDropletImageUpdateParams, opts ...option.RequestOption) (*GPUDropletImageUpdateResponse, error) {
	segment, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	return requestconfig.Answer[GPUDropletImageUpdateResponse](ctx, http.MethodPut, "v2/images/"+segment, body, slices.Concat(r.Options, opts)...)
}

// List retrieves one page of the images that the account can see: public ones and its own.
func (r *GPUDropletImageService) List(ctx context.Context, query GPUDropletImageListParams, opts ...option.RequestOption) (*GPUDropletImageListResponse, error) {
	return r.page(ctx, query, 0, opts)
}

// ListAutoPaging walks over the images of all pages, from the one that query names.
func (r *GPUDropletImageService) ListAutoPaging(ctx context.Context, query GPUDropletImageListParams, opts ...option.RequestOption) *pagination.AutoPager[Image] {
	return pagination.NewAutoPager(func() ([]Image, pagination.Fetch[Image], error) {
		return (*GPUDropletImageListResponse).fetched(r.List(ctx, query, opts...))
	})
}

// Delete deletes an image. While it is being imported, that ends the import.
func (r *GPUDropletImageService) Delete(ctx context.Context, imageID int64, opts ...option.RequestOption) error {
	segment, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return err
	}
	opts = slices.Concat(r.Options, []option.RequestOption{option.WithHeader("Accept", "*/*")}, opts)
	return requestconfig.Do(ctx, http.MethodDelete, "v2/images/"+segment, nil, nil, opts...)
}

// page gets one page; 0 is the one that query and opts name.
func (r *GPUDropletImageService) page(ctx context.Context, query GPUDropletImageListParams, page int64, opts []option.RequestOption) (*GPUDropletImageListResponse, error) {
	res := &GPUDropletImageListResponse{}
	number, err := requestconfig.DoPage(ctx, "v2/images", query, page, res, slices.Concat(r.Options, opts)...)
	if err != nil {
		return nil, err
	}
	res.next = func() (*GPUDropletImageListResponse, error) {
		next, err := pagination.NextPage(res.Links.Pages.Next, number)
		if err != nil || next == 0 {
			return nil, err
		}
		return r.page(ctx, query, next, opts)
	}
	return res, nil
}

// GPUDropletImageNewResponse is the answer to New.
type GPUDropletImageNewResponse struct {
	Image Image `json:"image"`

	JSON struct {
		Image       respjson.Field
		ExtraFields map[string]respjson.Field
		raw         string
	} `json:"-"`
}

// RawJSON returns the answer as it came.
func (r GPUDropletImageNewResponse) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes the answer.
func (r *GPUDropletImageNewResponse) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// GPUDropletImageGetResponse is the answer to Get.
type GPUDropletImageGetResponse struct {
	Image Image `json:"image"`

	JSON struct {
		Image       respjson.Field
		ExtraFields map[string]respjson.Field
		raw         string
	} `json:"-"`
}

// RawJSON returns the answer as it came.
func (r GPUDropletImageGetResponse) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes the answer.
func (r *GPUDropletImageGetResponse) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// GPUDropletImageUpdateResponse is the answer to Update.
type GPUDropletImageUpdateResponse struct {
	Image Image `json:"image"`

	JSON struct {
		Image       respjson.Field
		ExtraFields map[string]respjson.Field
		raw         string
	} `json:"-"`
}

// RawJSON returns the answer as it came.
func (r GPUDropletImageUpdateResponse) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes the answer.
func (r *GPUDropletImageUpdateResponse) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// GPUDropletImageListResponse is one page of images.
type GPUDropletImageListResponse struct {
	Images []Image        `json:"images"`
	Links  PageLinks      `json:"links"`
	Meta   MetaProperties `json:"meta"`

	JSON struct {
		Images, Links, Meta respjson.Field
		ExtraFields         map[string]respjson.Field
		raw                 string
	} `json:"-"`

	next func() (*GPUDropletImageListResponse, error)
}

// GetNextPage retrieves the page after this one; nil, without an error, after the last.
func (r *GPUDropletImageListResponse) GetNextPage() (*GPUDropletImageListResponse, error) {
	if r.next == nil {
		return nil, nil
	}
	return r.next()
}

// fetched gives a pager what it needs of a page.
func (r *GPUDropletImageListResponse) fetched(err error) ([]Image, pagination.Fetch[Image], error) {
	if r == nil || err != nil {
		return nil, nil, err
	}
	return r.Images, func() ([]Image, pagination.Fetch[Image], error) {
		return (*GPUDropletImageListResponse).fetched(r.GetNextPage())
	}, nil
}

// RawJSON returns the answer as it came.
func (r GPUDropletImageListResponse) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes the answer.
func (r *GPUDropletImageListResponse) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}
