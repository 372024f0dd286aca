package ingot

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"ingot/gradient"
	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
	"ingot/gradient/packages/param"
)

// LinkService makes links to images for tools that cannot send a token.
type LinkService struct{ Options []option.RequestOption }

// Link leads to the file of an image. Whoever has it can read the file, until it expires or the image is deleted.
type Link struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// LinkNewParams says what a link leads to, and for how long.
type LinkNewParams struct {
	Format FileFormat `json:"format,omitzero"`
	// ExpiresIn is the link's life in seconds.
	ExpiresIn param.Opt[int64] `json:"expires_in,omitzero"`
	param.APIObject
}

// MarshalJSON encodes what is set.
func (r LinkNewParams) MarshalJSON() ([]byte, error) {
	type fields LinkNewParams
	return param.MarshalObject(r, fields(r))
}

// New signs a link to one format of an image.
func (s *LinkService) New(ctx context.Context, imageID int64, body LinkNewParams, opts ...option.RequestOption) (*Link, error) {
	id, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	answer, err := requestconfig.Answer[struct{ Link Link }](ctx, http.MethodPost, "v2/images/"+id+"/links", body, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	return &answer.Link, nil
}

// AccountService tells who the token belongs to.
type AccountService struct{ Options []option.RequestOption }

// Account is the account of the token.
type Account struct {
	UUID          string          `json:"uuid"`
	Email         string          `json:"email"`
	EmailVerified bool            `json:"email_verified"`
	Status        string          `json:"status"`
	StatusMessage string          `json:"status_message"`
	Team          json.RawMessage `json:"team"`
}

// Get retrieves the account.
func (s *AccountService) Get(ctx context.Context, opts ...option.RequestOption) (*Account, error) {
	answer, err := requestconfig.Answer[struct{ Account Account }](ctx, http.MethodGet, "v2/account", nil, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	return &answer.Account, nil
}

// isStatus reports whether err is an answer with a status.
func isStatus(err error, status int) bool {
	var e *gradient.Error
	return errors.As(err, &e) && e.StatusCode == status
}
