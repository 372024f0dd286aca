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

// UsageService tells how much storage is in use.
type UsageService struct{ Options []option.RequestOption }

// Usage is the storage of an account and of each of its images.
type Usage struct {
	Account AccountUsage `json:"account"`
	Images  []ImageUsage `json:"images"`
}

// AccountUsage is what an account holds, in bytes: guest data before compression and sharing (logical), what it takes in
// the store (stored), and what it has in common with other images (shared).
type AccountUsage struct {
	Images       int64 `json:"images"`
	LogicalBytes int64 `json:"logical_bytes"`
	StoredBytes  int64 `json:"stored_bytes"`
	SharedBytes  int64 `json:"shared_bytes"`
}

// ImageUsage is what one image holds, in bytes as in [AccountUsage].
type ImageUsage struct {
	ImageID      int64  `json:"image_id"`
	Name         string `json:"name"`
	LogicalBytes int64  `json:"logical_bytes"`
	StoredBytes  int64  `json:"stored_bytes"`
	SharedBytes  int64  `json:"shared_bytes"`
}

// Get retrieves the storage that the account uses.
func (s *UsageService) Get(ctx context.Context, opts ...option.RequestOption) (*Usage, error) {
	answer, err := requestconfig.Answer[struct{ Usage Usage }](ctx, http.MethodGet, "v2/usage", nil, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	return &answer.Usage, nil
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
