package api

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"ingot/internal/image"
)

// call is one request and its answer. It is the http.ResponseWriter that the mux hands on, so that a handler finds
// it without a look-up.
type call struct {
	http.ResponseWriter
	api     *API
	r       *http.Request
	id      string      // of the request: in every answer and every line of the log
	token   image.Token // zero where none was asked for
	started time.Time
	status  int // 0 until the header is written
	written int64
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{ResponseWriter: w, api: a, r: r, id: newRequestID(), started: time.Now()}
	defer c.end()
	c.commonHeader()
	tidy, ok := tidied(r)
	if !ok {
		c.fail(errNoRoute)
		return
	}
	a.mux.ServeHTTP(c, tidy)
}

// commonHeader sets what stands on every answer, errors included.
func (c *call) commonHeader() {
	h := c.Header()
	h["X-Request-Id"] = []string{c.id}
	h["Cache-Control"] = cacheControl
	h["X-Content-Type-Options"] = nosniff
	c.unlimited()
	if c.r.Header["Origin"] != nil {
		h.Set("Access-Control-Allow-Origin", "*") // harmless: what grants access is a header that no browser adds by itself
		h.Set("Access-Control-Expose-Headers", "Content-Disposition, Content-Range, ETag, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, X-Request-Id")
	}
}

var (
	cacheControl = []string{"private, no-cache"}
	nosniff      = []string{"nosniff"}
	typeJSON     = []string{"application/json"}
)

// run takes a request through everything that stands before its handler.
func (c *call) run(r *http.Request, op route) {
	c.r = r
	if err := c.admit(op); err != nil {
		c.fail(err)
		return
	}
	if err := op.handle(c); err != nil {
		c.fail(err)
	}
}

// admit finds the token, counts the request and looks for the scopes, in that order: nothing is said about a
// resource to those who may not ask.
func (c *call) admit(op route) error {
	if op.scopes == "" {
		return nil
	}
	if op.basic && c.hasLink() {
		return c.followLink()
	}
	if err := c.authenticate(op.basic); err != nil {
		return err
	}
	if err := c.count(); err != nil {
		return err
	}
	for scope := range strings.SplitSeq(op.scopes, " ") {
		if err := c.need(scope); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) ctx() context.Context { return c.r.Context() }

// buffer lends a buffer to build an answer in; json takes it back.
func (c *call) buffer() []byte {
	if b, ok := c.api.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 4096)
}

// json writes a whole answer. The buffer must not be used afterwards.
func (c *call) json(status int, body []byte) error {
	h := c.Header()
	h["Content-Type"] = typeJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.WriteHeader(status)
	_, err := c.Write(body)
	if cap(body) <= 1<<20 {
		c.api.buffers.Put(&body)
	}
	if err != nil {
		c.api.log.Debug("the client is gone", "request_id", c.id, "error", err)
	}
	return nil
}

func (c *call) WriteHeader(status int) {
	if status >= 200 && c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *call) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(b)
	c.written += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the connection.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// end recovers from a panic and writes the line of the log. Successful reads are logged for debugging only: they
// are the bulk, and nobody asks about them later.
func (c *call) end() {
	p := recover()
	if p != nil && p != http.ErrAbortHandler {
		c.api.log.Error("panic", "request_id", c.id, "panic", p, "stack", string(debug.Stack()))
		if c.status == 0 {
			c.answer(problemInternal)
			p = nil
		}
	}
	level := slog.LevelInfo
	if c.status < 400 && (c.r.Method == http.MethodGet || c.r.Method == http.MethodHead) && p == nil {
		level = slog.LevelDebug
	}
	if c.api.log.Enabled(c.ctx(), level) {
		c.api.log.Log(c.ctx(), level, "request", "request_id", c.id, "method", c.r.Method, "path", c.r.URL.Path,
			"status", c.status, "bytes", c.written, "seconds", time.Since(c.started).Seconds(),
			"account", c.token.AccountID, "token", c.token.ID, "aborted", p != nil)
	}
	if p != nil {
		panic(http.ErrAbortHandler) // the connection is cut: a short answer must not look like a whole one
	}
}

// newRequestID returns a random UUID. It names a request and grants nothing.
func newRequestID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var s [36]byte
	hex.Encode(s[:], b[:4])
	hex.Encode(s[9:], b[4:6])
	hex.Encode(s[14:], b[6:8])
	hex.Encode(s[19:], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
