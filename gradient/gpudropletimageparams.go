package gradient

import (
	"errors"
	"net/url"
	"strconv"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/packages/param"
)

// GPUDropletImageNewParams asks for an image. The service needs Name, URL and Region.
type GPUDropletImageNewParams struct {
	// Description is a free text.
	Description param.Opt[string] `json:"description,omitzero"`
	Name        param.Opt[string] `json:"name,omitzero"`
	// URL is where the service finds the disk image, by http or https.
	URL param.Opt[string] `json:"url,omitzero"`
	// Distribution is one of the names of [ImageDistribution]; any other counts as Unknown.
	Distribution GPUDropletImageNewParamsDistribution `json:"distribution,omitzero"`
	// Region is where the image is available first.
	Region GPUDropletImageNewParamsRegion `json:"region,omitzero"`
	// Tags are put on the image; those that do not exist are created.
	Tags []string `json:"tags,omitzero"`
	paramObj
}

// MarshalJSON encodes what is set.
func (r GPUDropletImageNewParams) MarshalJSON() ([]byte, error) {
	type fields GPUDropletImageNewParams
	return param.MarshalObject(r, fields(r))
}

// GPUDropletImageUpdateParams changes an image. What is not set stays as it is.
type GPUDropletImageUpdateParams struct {
	// Description is a free text; gradient.String("") clears it.
	Description  param.Opt[string]                       `json:"description,omitzero"`
	Name         param.Opt[string]                       `json:"name,omitzero"`
	Distribution GPUDropletImageUpdateParamsDistribution `json:"distribution,omitzero"`
	paramObj
}

// MarshalJSON encodes what is set.
func (r GPUDropletImageUpdateParams) MarshalJSON() ([]byte, error) {
	type fields GPUDropletImageUpdateParams
	return param.MarshalObject(r, fields(r))
}

// GPUDropletImageListParams selects images. Its filters are joined by AND.
type GPUDropletImageListParams struct {
	// Page is the number of the page, from 1.
	Page param.Opt[int64]
	// PerPage is the number of images on a page, from 1 to 200.
	PerPage param.Opt[int64]
	// Private selects the account's own images.
	Private param.Opt[bool]
	// TagName selects the images with a tag.
	TagName param.Opt[string]
	// Type selects distributions or applications. It has nothing to do with an image's Type.
	Type GPUDropletImageListParamsType
}

// URLQuery encodes what is set.
func (r GPUDropletImageListParams) URLQuery() (url.Values, error) {
	v := url.Values{}
	for key, number := range map[string]param.Opt[int64]{"page": r.Page, "per_page": r.PerPage} {
		if number.Valid() {
			v.Set(key, strconv.FormatInt(number.Value, 10))
		}
	}
	if r.Private.Valid() {
		v.Set("private", strconv.FormatBool(r.Private.Value))
	}
	if r.TagName.Valid() {
		v.Set("tag_name", r.TagName.Value)
	}
	if r.Type != "" {
		v.Set("type", string(r.Type))
	}
	return v, nil
}

// GPUDropletImageListParamsType is a kind of public images.
type GPUDropletImageListParamsType string

// The kinds.
const (
	GPUDropletImageListParamsTypeApplication  GPUDropletImageListParamsType = "application"
	GPUDropletImageListParamsTypeDistribution GPUDropletImageListParamsType = "distribution"
)

// GPUDropletImageGetParamsImageIDUnion is an id or a slug. Exactly one must be set.
type GPUDropletImageGetParamsImageIDUnion struct {
	// OfInt is an image's id.
	OfInt param.Opt[int64]
	// OfString is a public image's slug.
	OfString param.Opt[string]
}

// path returns the path parameter, escaped.
func (u GPUDropletImageGetParamsImageIDUnion) path() (string, error) {
	switch {
	case u.OfInt.Valid() && u.OfString.Valid():
		return "", errors.New("the parameter image_id must be a number or a string, not both")
	case u.OfInt.Valid():
		return requestconfig.PathInt("image_id", u.OfInt.Value)
	}
	return requestconfig.PathString("image_id", u.OfString.Value)
}
