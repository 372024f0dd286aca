// Package gradient is a client of the images API that DigitalOcean documents for its Gradient SDKs, by the names and
// conventions of those: for DigitalOcean, and for Ingot, which answers the same requests.
//
//	client := gradient.NewClient(option.WithAccessToken("…"))
//	res, err := client.GPUDroplets.Images.Get(ctx, gradient.GPUDropletImageGetParamsImageIDUnion{OfInt: gradient.Int(7)})
//
// It has no types but those of the API; what Ingot adds is in package ingot/gradient/ingot.
package gradient

import (
	"context"
	"net/http"
	"os"
	"slices"
	"time"

	"ingot/gradient/internal/apierror"
	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
	"ingot/gradient/packages/param"
)

// Error is an answer of the API that is none of success. Find it with [errors.As].
type Error = apierror.Error

// Client is a client of the API. Make one with [NewClient]; it is safe for use by several goroutines.
type Client struct {
	Options     []option.RequestOption
	GPUDroplets GPUDropletService
}

// NewClient returns a client with the environment's options (see [DefaultClientOptions]) and these, which win.
func NewClient(opts ...option.RequestOption) Client {
	opts = append(DefaultClientOptions(), opts...)
	return Client{Options: opts, GPUDroplets: NewGPUDropletService(opts...)}
}

// DefaultClientOptions reads the environment: DIGITALOCEAN_ACCESS_TOKEN and GRADIENT_BASE_URL. A base URL that is
// none is an error of each request.
func DefaultClientOptions() []option.RequestOption {
	opts := []option.RequestOption{option.WithEnvironmentProduction()}
	if base := os.Getenv("GRADIENT_BASE_URL"); base != "" {
		opts = append(opts, option.WithBaseURL(base))
	}
	if token := os.Getenv("DIGITALOCEAN_ACCESS_TOKEN"); token != "" {
		opts = append(opts, option.WithAccessToken(token))
	}
	return opts
}

// Execute sends a request that has no method of its own here. path is escaped already and begins with "v2/". params is
// nil or what JSON can encode, res is nil or what JSON can decode into; see also [option.WithResponseBodyInto].
func (c *Client) Execute(ctx context.Context, method, path string, params, res any, opts ...option.RequestOption) error {
	return requestconfig.Do(ctx, method, path, params, res, slices.Concat(c.Options, opts)...)
}

// Get is Execute with GET.
func (c *Client) Get(ctx context.Context, path string, params, res any, opts ...option.RequestOption) error {
	return c.Execute(ctx, http.MethodGet, path, params, res, opts...)
}

// Post is Execute with POST.
func (c *Client) Post(ctx context.Context, path string, params, res any, opts ...option.RequestOption) error {
	return c.Execute(ctx, http.MethodPost, path, params, res, opts...)
}

// Put is Execute with PUT.
func (c *Client) Put(ctx context.Context, path string, params, res any, opts ...option.RequestOption) error {
	return c.Execute(ctx, http.MethodPut, path, params, res, opts...)
}

// Patch is Execute with PATCH.
func (c *Client) Patch(ctx context.Context, path string, params, res any, opts ...option.RequestOption) error {
	return c.Execute(ctx, http.MethodPatch, path, params, res, opts...)
}

// Delete is Execute with DELETE.
func (c *Client) Delete(ctx context.Context, path string, params, res any, opts ...option.RequestOption) error {
	return c.Execute(ctx, http.MethodDelete, path, params, res, opts...)
}

// String returns an optional parameter.
func String(s string) param.Opt[string] { return param.NewOpt(s) }

// Int returns an optional parameter.
func Int(i int64) param.Opt[int64] { return param.NewOpt(i) }

// Bool returns an optional parameter.
func Bool(b bool) param.Opt[bool] { return param.NewOpt(b) }

// Float returns an optional parameter.
func Float(f float64) param.Opt[float64] { return param.NewOpt(f) }

// Time returns an optional parameter.
func Time(t time.Time) param.Opt[time.Time] { return param.NewOpt(t) }

// Opt returns an optional parameter of any type.
func Opt[T comparable](v T) param.Opt[T] { return param.NewOpt(v) }

// Ptr returns a pointer to a copy of v.
func Ptr[T any](v T) *T { return &v }

type paramObj = param.APIObject
