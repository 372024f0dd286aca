// Package apierror holds the error of an answer that is none of success.
package apierror

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"

	"ingot/gradient/internal/apijson"
	"ingot/gradient/packages/respjson"
)

// maxBody bounds what is read of an error's body.
const maxBody = 1 << 20

// Error is an answer of the API that is none of success. Find it with [errors.As].
type Error struct {
	// ID is the kind of error, such as "not_found" or "unprocessable_entity".
	ID string `json:"id"`
	// Message says what went wrong; it may change from one version of the service to the next.
	Message string `json:"message"`
	// RequestID names the request in the service's log.
	RequestID string `json:"request_id"`

	StatusCode int            `json:"-"`
	Request    *http.Request  `json:"-"`
	Response   *http.Response `json:"-"` // its body can still be read

	// JSON tells what of the answer was there.
	JSON struct {
		ID          respjson.Field
		Message     respjson.Field
		RequestID   respjson.Field
		ExtraFields map[string]respjson.Field
		raw         string
	} `json:"-"`
}

// New reads an answer's body and closes it. A body that cannot be read is an empty one: the status counts.
func New(req *http.Request, res *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	e := &Error{StatusCode: res.StatusCode, Request: req, Response: res}
	_ = e.UnmarshalJSON(body) // what is no JSON comes from a proxy, and is shown as it is
	if e.RequestID == "" {
		e.RequestID = res.Header.Get("X-Request-Id")
	}
	return e
}

// UnmarshalJSON decodes an error's body. What is no object is kept as raw text.
func (e *Error) UnmarshalJSON(data []byte) error {
	e.JSON.raw = string(data)
	if err := apijson.Unmarshal(data, e); err != nil {
		return err
	}
	if other, ok := e.JSON.ExtraFields["error"]; ok && e.Message == "" { // the shape of the tagging service's errors
		_ = json.Unmarshal([]byte(other.Raw()), &e.Message)
	}
	return nil
}

// RawJSON returns the answer's body, JSON or not.
func (e *Error) RawJSON() string { return e.JSON.raw }

// Error names the request, the status, what went wrong and the request's id. It never holds the token.
func (e *Error) Error() string {
	what := e.Message
	if what == "" {
		what = strings.TrimSpace(e.JSON.raw)
		what = what[:min(len(what), 200)]
	}
	text := fmt.Sprintf("%s %q: %d %s", e.Request.Method, e.Request.URL.Redacted(), e.StatusCode, http.StatusText(e.StatusCode))
	if what != "" {
		text += ": " + what
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// secret are the headers that DumpRequest and DumpResponse leave out.
var secret = []string{"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"}

// DumpRequest returns the request as it went out, for logs, with the token left out.
func (e *Error) DumpRequest(body bool) []byte {
	req := e.Request.Clone(context.WithoutCancel(e.Request.Context()))
	redact(req.Header)
	req.URL.User, req.Body = nil, nil
	if req.GetBody != nil {
		req.Body, _ = req.GetBody() // a new one: the first was read when it was sent
	}
	if req.Body == nil {
		req.ContentLength = 0
	}
	out, _ := httputil.DumpRequestOut(req, body) // what failed is not there
	return out
}

// DumpResponse returns the answer as it came, for logs.
func (e *Error) DumpResponse(body bool) []byte {
	res := *e.Response
	res.Header = res.Header.Clone()
	redact(res.Header)
	res.Body = io.NopCloser(strings.NewReader(e.JSON.raw))
	out, _ := httputil.DumpResponse(&res, body) // as above
	return out
}

func redact(h http.Header) {
	for _, name := range secret {
		if h.Get(name) != "" {
			h.Set(name, "[left out]")
		}
	}
}
