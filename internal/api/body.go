package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"ingot/internal/image"
)

const (
	maxBody = 1 << 20

	// maxDrain is how much of a body that is too large is read and dropped before it is refused. A client that is
	// still sending when the connection closes may never see the answer.
	maxDrain = 32 << 20
)

// body reads the whole body of the request.
func (c *call) body() ([]byte, error) {
	size := c.r.ContentLength
	if size > maxBody {
		return nil, c.tooLarge()
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(size, 512)+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(c.r.Body, maxBody+1)); err != nil {
		return nil, badRequest("The request body could not be read to its end.")
	}
	if buf.Len() > maxBody {
		return nil, c.tooLarge()
	}
	return buf.Bytes(), nil
}

// tooLarge drops what the client is about to send, unless it waits to be asked for it.
func (c *call) tooLarge() error {
	if c.r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, c.r.Body, maxDrain) // an early end is as good as any
	}
	c.Header().Set("Connection", "close")
	return errTooLarge
}

// form is a JSON object, key by key. The first value of a wrong type is remembered, and told by problem.
type form struct {
	values  map[string]json.RawMessage
	problem error
}

// parseForm reads a body that is one JSON object. No body at all, or null, is the object without keys. A key that
// occurs twice is refused: which one counts would depend on who reads it.
func parseForm(body []byte) (*form, error) {
	f := &form{values: map[string]json.RawMessage{}}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return f, nil
	}
	if !utf8.Valid(body) {
		return nil, badRequest("The request body is not valid UTF-8.")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, badJSON(err)
	}
	if isNull(whole) {
		return f, nil
	}
	if whole[0] != '{' {
		return nil, badRequest("The request body must be a JSON object.")
	}
	return f, f.read(whole)
}

// form reads the request's body as a form.
func (c *call) form() (*form, error) {
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	return parseForm(body)
}

func badJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return badRequest(fmt.Sprintf("The request body is not valid JSON: %s, at byte %d.", syntax.Error(), syntax.Offset))
	}
	return badRequest("The request body is not valid JSON.")
}

func (f *form) read(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	_, err := d.Token() // the opening brace
	for err == nil && d.More() {
		var key json.Token
		if key, err = d.Token(); err != nil {
			break
		}
		name, _ := key.(string)
		if _, twice := f.values[name]; twice {
			return badRequest(fmt.Sprintf("The request body has the key %.100q twice.", name))
		}
		var value json.RawMessage
		err = d.Decode(&value)
		f.values[name] = value
	}
	if err != nil {
		return badJSON(err)
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func (f *form) wrong(key, want string) {
	if f.problem == nil {
		f.problem = unprocessable(key + " must be " + want + ".")
	}
}

// text returns a string, "" where the key is absent or null.
func (f *form) text(key string) string {
	if s := f.optional(key); s != nil {
		return *s
	}
	return ""
}

// optional returns a string, nil where the key is absent or null.
func (f *form) optional(key string) *string {
	raw, ok := f.values[key]
	if !ok || isNull(raw) {
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		f.wrong(key, "a string")
		return nil
	}
	return &s
}

// integer returns a whole number, absent where the key is absent or null.
func (f *form) integer(key string, absent int64) int64 {
	raw, ok := f.values[key]
	if !ok || isNull(raw) {
		return absent
	}
	if json.Unmarshal(raw, &absent) != nil {
		f.wrong(key, "a whole number")
	}
	return absent
}

// cleared returns a string as optional does, but "" where the key is null: such a field can be taken back.
func (f *form) cleared(key string) *string {
	if isNull(f.values[key]) {
		return new(string)
	}
	return f.optional(key)
}

// texts returns an array of strings, none where the key is absent or null.
func (f *form) texts(key string) []string {
	raw, ok := f.values[key]
	if !ok || isNull(raw) {
		return nil
	}
	var list []*string // null is no string, and would pass for ""
	if json.Unmarshal(raw, &list) != nil {
		f.wrong(key, "an array of strings")
		return nil
	}
	texts := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			f.wrong(key, "an array of strings")
			return nil
		}
		texts[i] = *s
	}
	return texts
}

// idempotencyKey returns the request's Idempotency-Key, "" for none.
func idempotencyKey(r *http.Request) (string, error) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) > image.MaxKey {
		return "", unprocessable(fmt.Sprintf("Idempotency-Key is %d bytes long; at most %d will do.", len(key), image.MaxKey))
	}
	for _, b := range []byte(key) {
		if b < ' ' || b > '~' {
			return "", unprocessable("Idempotency-Key holds other characters than printable ASCII.")
		}
	}
	return key, nil
}
