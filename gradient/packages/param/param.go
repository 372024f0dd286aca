// Package param holds the types of request parameters, in which a value, null and "not sent" are three things.
package param

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

type status uint8

const (
	omitted status = iota
	null
	included
)

// Opt is an optional parameter. Its zero value is not sent; NewOpt makes one with a value, Null one that is null.
type Opt[T comparable] struct {
	Value  T
	status status
}

// NewOpt returns a parameter with a value, which may be the zero value of its type.
func NewOpt[T comparable](v T) Opt[T] { return Opt[T]{v, included} }

// Null returns a parameter that is sent as null.
func Null[T comparable]() Opt[T] { return Opt[T]{status: null} }

// IsNull reports whether a parameter is sent as null.
func IsNull[T comparable](o Opt[T]) bool { return o.status == null }

// IsOmitted reports whether a parameter is not sent.
func IsOmitted[T comparable](o Opt[T]) bool { return o == Opt[T]{} }

// Valid reports whether there is a value. One that was assigned to Value alone counts, unless it is the zero value.
func (o Opt[T]) Valid() bool {
	var zero T
	return o.status == included || o.status == omitted && o.Value != zero
}

// Or returns the value, or another one where there is none.
func (o Opt[T]) Or(other T) T {
	if o.Valid() {
		return o.Value
	}
	return other
}

// String formats the value; "null" and "" stand for none.
func (o Opt[T]) String() string {
	switch {
	case o.status == null:
		return "null"
	case !o.Valid():
		return ""
	}
	return fmt.Sprint(o.Value)
}

// MarshalJSON encodes the value, or null where there is none.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.Valid() {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON decodes a value or null.
func (o *Opt[T]) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*o = Null[T]()
		return nil
	}
	o.status = included
	return json.Unmarshal(data, &o.Value)
}

// APIObject is embedded in the types of request bodies. It takes fields that the type does not know.
type APIObject struct {
	extra map[string]any
}

// SetExtraFields sets fields to send beside those of the type. A field of the same name replaces the type's.
func (o *APIObject) SetExtraFields(fields map[string]any) { o.extra = maps.Clone(fields) }

// ExtraFields returns what SetExtraFields set.
func (o APIObject) ExtraFields() map[string]any { return o.extra }

// MarshalObject encodes a body: fields is the body as a type without a MarshalJSON of its own.
func MarshalObject(o interface{ ExtraFields() map[string]any }, fields any) ([]byte, error) {
	data, err := json.Marshal(fields)
	extra := o.ExtraFields()
	if err != nil || len(extra) == 0 {
		return data, err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, err
	}
	for key, value := range extra {
		if object[key], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(object)
}

// MarshalUnion encodes the one variant that is set.
func MarshalUnion(variants ...any) ([]byte, error) {
	variants = slices.DeleteFunc(variants, func(v any) bool { return v == nil })
	if len(variants) != 1 {
		return nil, errors.New("exactly one variant of the union must be set")
	}
	return json.Marshal(variants[0])
}
