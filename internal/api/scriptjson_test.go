package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// value is JSON with the order of its keys kept, which encoding/json forgets.
type value struct {
	kind    byte // '{', '[', '"' for a string, 0 for every other
	keys    []string
	values  []value // of the keys, or elements
	literal string  // a string's text, or what was written: 1.50, true, null
}

func parseJSON(text string) (value, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := nextValue(d)
	if err != nil {
		return v, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return v, errors.New("something follows the JSON value")
	}
	return v, nil
}

func nextValue(d *json.Decoder) (value, error) {
	token, err := d.Token()
	if err != nil {
		return value{}, err
	}
	switch token := token.(type) {
	case json.Delim:
		return nextComposite(d, byte(token))
	case string:
		return value{kind: '"', literal: token}, nil
	case nil:
		return value{literal: "null"}, nil
	default:
		return value{literal: fmt.Sprint(token)}, nil
	}
}

func nextComposite(d *json.Decoder, kind byte) (value, error) {
	v := value{kind: kind}
	for d.More() {
		if kind == '{' {
			key, err := d.Token()
			if err != nil {
				return v, err
			}
			v.keys = append(v.keys, key.(string))
		}
		element, err := nextValue(d)
		if err != nil {
			return v, err
		}
		v.values = append(v.values, element)
	}
	_, err := d.Token()
	return v, err
}

// match compares a value with a script's pattern, and binds the variables that have no value yet.
func (w *wire) match(want, got value, path string) error {
	if want.kind == '"' {
		return w.matchText(want.literal, got, path)
	}
	if want.kind != got.kind || want.kind == 0 && want.literal != got.literal {
		return fmt.Errorf("%s is %s, want %s", path, got, want)
	}
	n := len(want.values)
	open := n > 0 && want.values[n-1].literal == "…" && (want.kind == '[' || want.kind == '{' && want.keys[n-1] == "…")
	if open {
		n--
	}
	if len(got.values) < n || len(got.values) > n && !open {
		return fmt.Errorf("%s is %s, want %s", path, got, want)
	}
	for i := range n {
		at := fmt.Sprintf("%s[%d]", path, i)
		if want.kind == '{' {
			at = path + "." + want.keys[i]
			if got.keys[i] != want.keys[i] {
				return fmt.Errorf("the key %s.%s stands where %q should", path, got.keys[i], want.keys[i])
			}
		}
		if err := w.match(want.values[i], got.values[i], at); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) matchText(want string, got value, path string) error {
	if want == "…" {
		return nil
	}
	if strings.HasPrefix(want, "$") && !strings.ContainsAny(want[1:], "$/?… ") {
		if known, ok := w.vars[want]; ok && known != got.literal {
			return fmt.Errorf("%s is %s, want %s = %s", path, got, want, known)
		}
		w.vars[want] = got.literal
		return nil
	}
	if got.kind != '"' || !like(got.literal, w.expand(want)) {
		return fmt.Errorf("%s is %s, want the text %q", path, got, w.expand(want))
	}
	return nil
}

func (v value) String() string {
	switch v.kind {
	case 0:
		return v.literal
	case '"':
		return fmt.Sprintf("%q", v.literal)
	}
	return fmt.Sprintf("%c with %d elements, keys %q", v.kind, len(v.values), v.keys)
}
