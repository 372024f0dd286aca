package gradient

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"ingot/gradient/internal/apijson"
	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
	"ingot/gradient/packages/pagination"
	"ingot/gradient/packages/param"
	"ingot/gradient/packages/respjson"
)

// GPUDropletImageActionService does things to images, and tells how far they are. Make it by [NewClient].
type GPUDropletImageActionService struct {
	Options []option.RequestOption
}

// NewGPUDropletImageActionService returns a service with options for each request. It does not read the environment.
func NewGPUDropletImageActionService(opts ...option.RequestOption) GPUDropletImageActionService {
	return GPUDropletImageActionService{Options: opts}
}

// New starts an action: the transfer of an image to one more region, or the conversion of a backup to a snapshot. It is
// sent again only where the service certainly has not got it: a second time would be a second action.
func (r *GPUDropletImageActionService) New(ctx context.Context, imageID int64, body GPUDropletImageActionNewParams, opts ...option.RequestOption) (*Action, error) {
	segment, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	opts = slices.Concat(r.Options, []option.RequestOption{requestconfig.Once()}, opts)
	return actionOf(requestconfig.Answer[actionEnvelope](ctx, http.MethodPost, "v2/images/"+segment+"/actions", body, opts...))
}

// Get retrieves an action of an image.
func (r *GPUDropletImageActionService) Get(ctx context.Context, imageID, actionID int64, opts ...option.RequestOption) (*Action, error) {
	image, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	action, err := requestconfig.PathInt("action_id", actionID)
	if err != nil {
		return nil, err
	}
	return actionOf(requestconfig.Answer[actionEnvelope](ctx, http.MethodGet, "v2/images/"+image+"/actions/"+action, nil, slices.Concat(r.Options, opts)...))
}

// List retrieves one page of the actions of an image; see [option.WithQuery] for another than the first.
func (r *GPUDropletImageActionService) List(ctx context.Context, imageID int64, opts ...option.RequestOption) (*GPUDropletImageActionListResponse, error) {
	return r.page(ctx, imageID, 0, opts)
}

// ListAutoPaging walks over all actions of an image.
func (r *GPUDropletImageActionService) ListAutoPaging(ctx context.Context, imageID int64, opts ...option.RequestOption) *pagination.AutoPager[Action] {
	return pagination.NewAutoPager(func() ([]Action, pagination.Fetch[Action], error) {
		return (*GPUDropletImageActionListResponse).fetched(r.List(ctx, imageID, opts...))
	})
}

func (r *GPUDropletImageActionService) page(ctx context.Context, imageID, page int64, opts []option.RequestOption) (*GPUDropletImageActionListResponse, error) {
	segment, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	res := &GPUDropletImageActionListResponse{}
	number, err := requestconfig.DoPage(ctx, "v2/images/"+segment+"/actions", nil, page, res, slices.Concat(r.Options, opts)...)
	if err != nil {
		return nil, err
	}
	res.next = func() (*GPUDropletImageActionListResponse, error) {
		next, err := pagination.NextPage(res.Links.Pages.Next, number)
		if err != nil || next == 0 {
			return nil, err
		}
		return r.page(ctx, imageID, next, opts)
	}
	return res, nil
}

// actionEnvelope is an action as the service sends it: under the key "action". The reference has it without, so both
// are read.
type actionEnvelope struct{ action Action }

func actionOf(e *actionEnvelope, err error) (*Action, error) {
	if err != nil {
		return nil, err
	}
	return &e.action, nil
}

func (e *actionEnvelope) UnmarshalJSON(data []byte) error {
	var wrapped struct {
		Action json.RawMessage `json:"action"`
	}
	if err := json.Unmarshal(data, &wrapped); err != nil {
		return err
	}
	if wrapped.Action != nil {
		data = wrapped.Action
	}
	return json.Unmarshal(data, &e.action)
}

// GPUDropletImageActionListResponse is one page of actions.
type GPUDropletImageActionListResponse struct {
	Actions []Action       `json:"actions"`
	Links   PageLinks      `json:"links"`
	Meta    MetaProperties `json:"meta"`

	JSON struct {
		Actions, Links, Meta respjson.Field
		ExtraFields          map[string]respjson.Field
		raw                  string
	} `json:"-"`

	next func() (*GPUDropletImageActionListResponse, error)
}

// GetNextPage retrieves the page after this one; nil, without an error, after the last.
func (r *GPUDropletImageActionListResponse) GetNextPage() (*GPUDropletImageActionListResponse, error) {
	if r.next == nil {
		return nil, nil
	}
	return r.next()
}

func (r *GPUDropletImageActionListResponse) fetched(err error) ([]Action, pagination.Fetch[Action], error) {
	if r == nil || err != nil {
		return nil, nil, err
	}
	return r.Actions, func() ([]Action, pagination.Fetch[Action], error) {
		return (*GPUDropletImageActionListResponse).fetched(r.GetNextPage())
	}, nil
}

// RawJSON returns the answer as it came.
func (r GPUDropletImageActionListResponse) RawJSON() string { return r.JSON.raw }

// UnmarshalJSON decodes the answer.
func (r *GPUDropletImageActionListResponse) UnmarshalJSON(data []byte) error {
	r.JSON.raw = string(data)
	return apijson.Unmarshal(data, r)
}

// GPUDropletImageActionNewParams is the action to start. Exactly one field must be set.
type GPUDropletImageActionNewParams struct {
	// OfImageActionBase is an action without parameters.
	OfImageActionBase *GPUDropletImageActionNewParamsBodyImageActionBase
	// OfImageActionTransfer copies the image to one more region.
	OfImageActionTransfer *GPUDropletImageActionNewParamsBodyImageActionTransfer
}

// MarshalJSON encodes the field that is set.
func (u GPUDropletImageActionNewParams) MarshalJSON() ([]byte, error) {
	return param.MarshalUnion(variant(u.OfImageActionBase), variant(u.OfImageActionTransfer))
}

// variant makes a nil pointer a nil interface.
func variant[T any](p *T) any {
	if p == nil {
		return nil
	}
	return p
}

// GPUDropletImageActionNewParamsBodyImageActionBase is an action without parameters.
type GPUDropletImageActionNewParamsBodyImageActionBase struct {
	Type GPUDropletImageActionNewParamsType `json:"type"`
	paramObj
}

// MarshalJSON encodes what is set.
func (r GPUDropletImageActionNewParamsBodyImageActionBase) MarshalJSON() ([]byte, error) {
	type fields GPUDropletImageActionNewParamsBodyImageActionBase
	return param.MarshalObject(r, fields(r))
}

// GPUDropletImageActionNewParamsBodyImageActionTransfer copies an image to one more region. Its Type is transfer,
// and need not be set.
type GPUDropletImageActionNewParamsBodyImageActionTransfer struct {
	Region GPUDropletImageActionNewParamsBodyImageActionTransferRegion `json:"region"`
	Type   GPUDropletImageActionNewParamsType                          `json:"type"`
	paramObj
}

// MarshalJSON encodes what is set.
func (r GPUDropletImageActionNewParamsBodyImageActionTransfer) MarshalJSON() ([]byte, error) {
	type fields GPUDropletImageActionNewParamsBodyImageActionTransfer
	if r.Type == "" {
		r.Type = GPUDropletImageActionNewParamsTypeTransfer
	}
	return param.MarshalObject(r, fields(r))
}

// GPUDropletImageActionNewParamsType is the kind of an action.
type GPUDropletImageActionNewParamsType string

// The kinds. Convert makes a backup a snapshot.
const (
	GPUDropletImageActionNewParamsTypeConvert  GPUDropletImageActionNewParamsType = "convert"
	GPUDropletImageActionNewParamsTypeTransfer GPUDropletImageActionNewParamsType = "transfer"
)
