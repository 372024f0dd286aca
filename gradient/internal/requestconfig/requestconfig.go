// Package requestconfig makes requests, sends them, tries again where that can help, and reads the answers.
package requestconfig

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Version is the SDK's, as its User-Agent names it.
const Version = "0.1.0"

// DefaultBaseURL is where requests go unless an option or the environment says otherwise.
const DefaultBaseURL = "https://api.digitalocean.com"

// HTTPDoer sends a request; *http.Client does.
type HTTPDoer interface {
	Do(*http.Request) (*http.Response, error)
}

// Next passes a request on to the next middleware, or sends it.
type Next = func(*http.Request) (*http.Response, error)

// Middleware sees each attempt to send a request.
type Middleware = func(*http.Request, Next) (*http.Response, error)

// RequestOption changes how a request is made.
type RequestOption interface {
	Apply(*RequestConfig) error
}

// RequestOptionFunc is a function as an option.
type RequestOptionFunc func(*RequestConfig) error

// Apply calls f.
func (f RequestOptionFunc) Apply(c *RequestConfig) error { return f(c) }

// Querier is a parameter that goes into the URL's query.
type Querier interface {
	URLQuery() (url.Values, error)
}

// RequestConfig is one request before it is sent. Options change it.
type RequestConfig struct {
	MaxRetries       int
	RequestTimeout   time.Duration // of one attempt; 0: none
	BaseURL          *url.URL
	BaseURLError     error // of the base URL that was set last
	AccessToken      string
	HTTPClient       HTTPDoer
	Middlewares      []Middleware
	Header           http.Header
	Query            url.Values
	ResponseBodyInto any
	ResponseInto     **http.Response

	// Once is for a request that services carry out each time it arrives, whatever its Idempotency-Key: it is sent again
	// only where it certainly has not been carried out.
	Once bool

	ctx    context.Context
	method string
	path   string // escaped, without a slash in front
	body   body
}

// New makes a request. path is escaped already. params is nil, a Querier, or something that JSON can encode.
func New(ctx context.Context, method, path string, params, into any, opts ...RequestOption) (*RequestConfig, error) {
	c := &RequestConfig{
		MaxRetries: 2, HTTPClient: http.DefaultClient, Header: http.Header{}, Query: url.Values{},
		ResponseBodyInto: into, ctx: ctx, method: method, path: strings.TrimLeft(path, "/"),
	}
	c.Header.Set("Accept", "application/json")
	c.Header.Set("User-Agent", "ingot-gradient-go/"+Version)
	if err := c.setParams(params); err != nil {
		return nil, err
	}
	for _, opt := range opts {
		if err := opt.Apply(c); err != nil {
			return nil, err
		}
	}
	if c.BaseURL == nil && c.BaseURLError == nil {
		c.BaseURL, c.BaseURLError = ParseBaseURL(DefaultBaseURL)
	}
	if c.BaseURLError != nil {
		return nil, c.BaseURLError
	}
	if method == http.MethodPost && c.Header.Get("Idempotency-Key") == "" {
		c.Header.Set("Idempotency-Key", "go-retry-"+rand.Text()) // one for all attempts
	}
	return c, nil
}

// Do makes a request and sends it.
func Do(ctx context.Context, method, path string, params, into any, opts ...RequestOption) error {
	c, err := New(ctx, method, path, params, into, opts...)
	if err != nil {
		return err
	}
	return c.Execute()
}

// Answer makes a request, sends it, and returns what it is answered; nil with an error.
func Answer[T any](ctx context.Context, method, path string, params any, opts ...RequestOption) (*T, error) {
	into := new(T)
	if err := Do(ctx, method, path, params, into, opts...); err != nil {
		return nil, err
	}
	return into, nil
}

// DoPage gets a page of a list and returns its number. Other than 0, page wins over everything in query and options.
func DoPage(ctx context.Context, path string, query Querier, page int64, into any, opts ...RequestOption) (int64, error) {
	var params any
	if query != nil {
		params = query
	}
	c, err := New(ctx, http.MethodGet, path, params, into, opts...)
	if err != nil {
		return 0, err
	}
	if page != 0 {
		c.Query.Set("page", strconv.FormatInt(page, 10))
	}
	if page, err = strconv.ParseInt(c.Query.Get("page"), 10, 64); err != nil {
		page = 1 // the first is what services answer to no number
	}
	return page, c.Execute()
}

func (c *RequestConfig) setParams(params any) error {
	switch p := params.(type) {
	case nil:
		return nil
	case Querier:
		query, err := p.URLQuery()
		for key, values := range query {
			c.Query[key] = values
		}
		return err
	}
	data, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("encode the request: %w", err)
	}
	c.SetBody("application/json", bytes.NewReader(data))
	return nil
}

// body is what a request sends.
type body struct {
	once io.Reader                // sent once, since it cannot be read again
	size int64                    // of once; -1: not known
	make func() *io.SectionReader // a new reader for each attempt: the transport may still hold the last one
}

// SetBody makes r the request's body. What is an io.ReaderAt and an io.Seeker, as files and readers of bytes are, is
// sent from where it stands now, and again in each attempt; anything else is sent once.
func (c *RequestConfig) SetBody(contentType string, r io.Reader) {
	c.Header.Set("Content-Type", contentType)
	if buffer, ok := r.(*bytes.Buffer); ok {
		r = bytes.NewReader(buffer.Bytes())
	}
	c.body = body{once: r, size: -1}
	at, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return
	}
	start, err := at.Seek(0, io.SeekCurrent)
	if err != nil {
		return // a pipe, which is a file in name alone
	}
	end, err := at.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	if _, err := at.Seek(start, io.SeekStart); err != nil {
		return
	}
	c.body.make = func() *io.SectionReader { return io.NewSectionReader(at, start, end-start) }
}

// SetStream makes size bytes of r the request's body, which is then sent once.
func (c *RequestConfig) SetStream(contentType string, r io.Reader, size int64) {
	c.Header.Set("Content-Type", contentType)
	c.body = body{once: r, size: size}
	c.MaxRetries = 0
}

// reader returns the body for an attempt and its size, -1 if that is not known.
func (b *body) reader() (io.Reader, int64) {
	switch {
	case b.once == nil:
		return http.NoBody, 0
	case b.make == nil:
		return b.once, b.size
	}
	r := b.make()
	if r.Size() == 0 {
		return http.NoBody, 0
	}
	return r, r.Size()
}

// again reports whether the body can be sent once more.
func (b *body) again() bool { return b.once == nil || b.make != nil }

// ParseBaseURL reads a base URL. The version in its path is dropped, since every path of the API begins with it.
func ParseBaseURL(base string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(base))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the base URL %q is not of the form https://api.example.com", base)
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v2")
	u.Path, u.RawPath, u.RawQuery, u.Fragment = strings.TrimRight(u.Path, "/"), "", "", ""
	return u, nil
}

// PathInt formats a path parameter.
func PathInt(name string, n int64) (string, error) {
	if n < 1 {
		return "", fmt.Errorf("the parameter %s is missing: it must be at least 1", name)
	}
	return fmt.Sprint(n), nil
}

// PathString escapes a path parameter. What would change the path even so is refused.
func PathString(name, s string) (string, error) {
	switch s {
	case "":
		return "", fmt.Errorf("the parameter %s is missing", name)
	case ".", "..":
		return "", fmt.Errorf("the parameter %s must not be %q", name, s)
	}
	return url.PathEscape(s), nil
}

// request builds one attempt.
func (c *RequestConfig) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(c.BaseURL.String() + "/" + c.path)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	for key, values := range c.Query {
		query[key] = values
	}
	u.RawQuery = query.Encode()
	content, size := c.body.reader()
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), content)
	if err != nil {
		return nil, err
	}
	req.Header = c.Header.Clone()
	if c.AccessToken != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+c.AccessToken)
	}
	req.ContentLength = size
	if c.body.make != nil && size > 0 {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(c.body.make()), nil }
	}
	return req, nil
}
