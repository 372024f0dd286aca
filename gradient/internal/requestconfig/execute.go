package requestconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ingot/gradient/internal/apierror"
)

// Limits of waiting between attempts. A server that asks for more than maxRetryAfter is not asked again: the caller
// knows better than a sleeping program what to do for so long.
const (
	firstDelay    = 500 * time.Millisecond
	maxDelay      = 8 * time.Second
	maxRetryAfter = time.Minute
)

// maxResponse bounds a JSON answer: the largest page has some megabytes.
const maxResponse = 64 << 20

// Execute sends the request, up to 1 + MaxRetries times, and reads the answer.
func (c *RequestConfig) Execute() error {
	res, err := c.Send()
	if err != nil {
		return err
	}
	if raw, ok := c.ResponseBodyInto.(**http.Response); ok {
		*raw = res
		return nil
	}
	defer res.Body.Close()
	return c.decode(res)
}

// Send sends the request as Execute does and returns an answer of success, whose body is the caller's to close. Any
// other answer is an *apierror.Error.
func (c *RequestConfig) Send() (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		req, res, err := c.attempt()
		if req == nil {
			return nil, err
		}
		if res != nil && c.ResponseInto != nil {
			*c.ResponseInto = res
		}
		if err == nil && res.StatusCode < 300 {
			return res, nil
		}
		delay, again := c.again(attempt, res, err)
		if err == nil {
			err = apierror.New(req, res)
		}
		if !again {
			return nil, err
		}
		if waitErr := Wait(c.ctx, delay); waitErr != nil {
			return nil, errors.Join(waitErr, err)
		}
	}
}

// attempt sends the request once.
func (c *RequestConfig) attempt() (*http.Request, *http.Response, error) {
	ctx, cancel := c.ctx, context.CancelFunc(func() {})
	if c.RequestTimeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.RequestTimeout)
	}
	req, err := c.request(ctx)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	send := c.HTTPClient.Do
	for i := len(c.Middlewares) - 1; i >= 0; i-- {
		middleware, next := c.Middlewares[i], send
		send = func(r *http.Request) (*http.Response, error) { return middleware(r, next) }
	}
	res, err := send(req)
	if err != nil {
		cancel()
		return req, nil, err
	}
	if res == nil {
		cancel()
		return req, nil, errors.New("a middleware returned neither an answer nor an error")
	}
	if res.Body == nil { // net/http has always one, a middleware perhaps not
		res.Body = http.NoBody
	}
	if res.Request == nil {
		res.Request = req
	}
	res.Body = &cancelBody{res.Body, cancel}
	return req, res, nil
}

// cancelBody ends an attempt's context with its body: the time-out covers both.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// again decides about one more attempt, and after what delay.
func (c *RequestConfig) again(attempt int, res *http.Response, err error) (time.Duration, bool) {
	if attempt >= c.MaxRetries || c.ctx.Err() != nil || !c.body.again() {
		return 0, false
	}
	if c.Once && !untouched(res, err) {
		return 0, false
	}
	if err != nil {
		return Backoff(attempt), true
	}
	if !retryable(res) {
		return 0, false
	}
	if asked, ok := retryAfter(res.Header, time.Now()); ok {
		return asked, asked <= maxRetryAfter
	}
	return Backoff(attempt), true
}

// untouched reports whether a request has certainly not been carried out: no connection was made, or the service says
// that it is too busy.
func untouched(res *http.Response, err error) bool {
	if err != nil {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == "dial"
	}
	switch res.StatusCode {
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// Once makes a request one that is not sent again in doubt.
func Once() RequestOption {
	return RequestOptionFunc(func(c *RequestConfig) error {
		c.Once = true
		return nil
	})
}

func retryable(res *http.Response) bool {
	switch res.Header.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	switch res.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return res.StatusCode >= 500
}

// retryAfter reads how long the server asks to wait: milliseconds, seconds or a date.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 {
		return seconds(ms / 1000), true
	}
	value := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(value, 64); err == nil && s >= 0 {
		return seconds(s), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

// seconds converts without overflow: more than an hour is an hour.
func seconds(s float64) time.Duration { return time.Duration(min(s, 3600) * float64(time.Second)) }

// Backoff is how long to wait after an attempt, counted from 0. It doubles with each attempt, less a random quarter, so that clients do not come back all at once.
func Backoff(attempt int) time.Duration {
	d := min(firstDelay<<min(attempt, 10), maxDelay)
	return d - rand.N(d/4)
}

// Wait waits, or returns the error of a context that ends before.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decode reads a JSON answer. No body, as with 204, leaves the target as it is.
func (c *RequestConfig) decode(res *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s %q: the answer was cut: %w", c.method, res.Request.URL.Redacted(), err)
	case len(data) > maxResponse:
		return fmt.Errorf("%s %q: the answer is larger than %d bytes", c.method, res.Request.URL.Redacted(), maxResponse)
	case c.ResponseBodyInto == nil || len(data) == 0:
		return nil
	}
	if into, ok := c.ResponseBodyInto.(*[]byte); ok {
		*into = data
		return nil
	}
	if kind := res.Header.Get("Content-Type"); kind != "" && !isJSON(kind) {
		return fmt.Errorf("%s %q: the answer is no JSON but %s: is this the address of the API?", c.method, res.Request.URL.Redacted(), kind)
	}
	if err := json.Unmarshal(data, c.ResponseBodyInto); err != nil {
		return fmt.Errorf("%s %q: the answer's JSON: %w", c.method, res.Request.URL.Redacted(), err)
	}
	return nil
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
