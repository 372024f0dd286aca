// Package option holds the options of requests. Given to a client they hold for all its requests, given to a method
// for that one; the later ones win.
package option

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"ingot/gradient/internal/requestconfig"
)

// RequestOption is an option of one request or of all.
type RequestOption = requestconfig.RequestOption

// HTTPClient sends requests; *http.Client does.
type HTTPClient = requestconfig.HTTPDoer

// Middleware sees each attempt to send a request and its answer, and may change both. It calls the MiddlewareNext to
// go on.
type Middleware = requestconfig.Middleware

// MiddlewareNext passes a request on.
type MiddlewareNext = requestconfig.Next

func apply(f func(*requestconfig.RequestConfig)) RequestOption {
	return requestconfig.RequestOptionFunc(func(c *requestconfig.RequestConfig) error {
		f(c)
		return nil
	})
}

// WithBaseURL says where the API is. A slash or /v2 at the end makes no difference.
func WithBaseURL(base string) RequestOption {
	u, err := requestconfig.ParseBaseURL(base)
	return apply(func(c *requestconfig.RequestConfig) { c.BaseURL, c.BaseURLError = u, err })
}

// WithEnvironmentProduction sends requests to DigitalOcean, which is the default.
func WithEnvironmentProduction() RequestOption { return WithBaseURL(requestconfig.DefaultBaseURL) }

// WithAccessToken sets the token.
func WithAccessToken(token string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.AccessToken = token })
}

// WithHTTPClient sets what sends the requests, [http.DefaultClient] otherwise.
func WithHTTPClient(client HTTPClient) RequestOption {
	return requestconfig.RequestOptionFunc(func(c *requestconfig.RequestConfig) error {
		if client == nil {
			return fmt.Errorf("option.WithHTTPClient: the client is nil")
		}
		c.HTTPClient = client
		return nil
	})
}

// WithMiddleware adds middleware. What was added first is called first.
func WithMiddleware(middlewares ...Middleware) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Middlewares = append(c.Middlewares, middlewares...) })
}

// WithMaxRetries sets how often a request is tried again, 2 times otherwise: on connection errors, 408, 409, 429 and
// 5xx. 0 is never.
func WithMaxRetries(retries int) RequestOption {
	return requestconfig.RequestOptionFunc(func(c *requestconfig.RequestConfig) error {
		if retries < 0 {
			return fmt.Errorf("option.WithMaxRetries: %d is negative", retries)
		}
		c.MaxRetries = retries
		return nil
	})
}

// WithRequestTimeout bounds each attempt, its answer's body included; a context with a deadline bounds all of them.
// 0, the default, is no bound.
func WithRequestTimeout(d time.Duration) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.RequestTimeout = d })
}

// WithHeader sets a header.
func WithHeader(key, value string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Header.Set(key, value) })
}

// WithHeaderAdd adds a value to a header.
func WithHeaderAdd(key, value string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Header.Add(key, value) })
}

// WithHeaderDel takes a header away.
func WithHeaderDel(key string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Header.Del(key) })
}

// WithQuery sets a key of the query.
func WithQuery(key, value string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Query.Set(key, value) })
}

// WithQueryAdd adds a value to a key of the query.
func WithQueryAdd(key, value string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Query.Add(key, value) })
}

// WithQueryDel takes a key out of the query.
func WithQueryDel(key string) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.Query.Del(key) })
}

// WithRequestBody replaces the body. One that is no [io.ReaderAt] with Seek, as files and
// readers of bytes are, is sent once: such a request is not tried again.
func WithRequestBody(contentType string, body io.Reader) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.SetBody(contentType, body) })
}

// WithResponseBodyInto decodes the answer's JSON into dst in place of the method's own type. A *[]byte gets the body
// as it came, a **http.Response the answer with its body unread.
func WithResponseBodyInto(dst any) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.ResponseBodyInto = dst })
}

// WithResponseInto stores the answer in dst, for its status and headers; errors included. Of several attempts it is
// the last.
func WithResponseInto(dst **http.Response) RequestOption {
	return apply(func(c *requestconfig.RequestConfig) { c.ResponseInto = dst })
}
