package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"ingot/internal/image"
)

// problem is an answer that says why a request came to nothing.
type problem struct {
	status      int
	id, message string
	retryAfter  time.Duration // zero: the header is left out
}

func (p *problem) Error() string { return p.message }

var (
	problemInternal = &problem{http.StatusInternalServerError, "server_error", "Unexpected server-side error.", 0}
	errUnauthorized = &problem{http.StatusUnauthorized, "unauthorized", "Unable to authenticate you.", 0}
	errMethod       = &problem{http.StatusMethodNotAllowed, "method_not_allowed", "The method is not allowed here; the Allow header names those that are.", 0}
	errTooLarge     = &problem{http.StatusRequestEntityTooLarge, "request_entity_too_large", "The request body is too large; at most 1 MiB will do.", 0}
	errNoRoute      = &problem{http.StatusNotFound, "not_found", image.ErrNotFound.Message, 0}
)

func badRequest(message string) error {
	return &problem{http.StatusBadRequest, "bad_request", message, 0}
}

func unprocessable(message string) error {
	return &problem{http.StatusUnprocessableEntity, "unprocessable_entity", message, 0}
}

// problemOf maps an error to its answer. An error that nobody foresaw has one answer, whatever it says: the cause is
// for the log.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var e *image.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case image.Invalid, image.Gone:
			return &problem{http.StatusUnprocessableEntity, "unprocessable_entity", e.Message, 0}
		case image.BadSyntax:
			return &problem{http.StatusBadRequest, "bad_request", e.Message, 0}
		case image.NotFound:
			return errNoRoute
		case image.Forbidden:
			return &problem{http.StatusForbidden, "forbidden", e.Message, 0}
		case image.Busy:
			return &problem{http.StatusServiceUnavailable, "service_unavailable", e.Message, time.Second}
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &problem{http.StatusServiceUnavailable, "service_unavailable", "The request could not be finished in time.", time.Second}
	}
	return problemInternal
}

// fail answers an error. Where the answer has begun already, all that is left is to cut the connection.
func (c *call) fail(err error) {
	p := problemOf(err)
	if c.ctx().Err() == nil && p != errStalled && (p.status >= 500 || c.status != 0) {
		c.api.log.Error("request failed", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path, "error", err)
	}
	if c.status != 0 {
		panic(http.ErrAbortHandler)
	}
	if image.IsBadTag(err) {
		c.answerBadTag(p)
		return
	}
	c.answer(p)
}

func (c *call) answer(p *problem) {
	c.problemHeader(p)
	b := c.appendProblem(append(c.buffer(), '{'), p)
	_ = c.json(p.status, append(b, '}'))
}

// answerBadTag gives the shape that the tagging service of the original has for bad characters, and ours with it.
func (c *call) answerBadTag(p *problem) {
	b := append(c.buffer(), `{"error":`...)
	b = appendString(b, p.message)
	b = append(b, `,"messages":null,"root_causes":[],`...)
	_ = c.json(p.status, append(c.appendProblem(b, p), '}'))
}

func (c *call) problemHeader(p *problem) {
	if p.retryAfter > 0 {
		seconds := (p.retryAfter + time.Second - 1) / time.Second
		c.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

func (c *call) appendProblem(b []byte, p *problem) []byte {
	b = append(b, `"id":`...)
	b = appendString(b, p.id)
	b = append(b, `,"message":`...)
	b = appendString(b, p.message)
	b = append(b, `,"request_id":`...)
	return appendString(b, c.id)
}
