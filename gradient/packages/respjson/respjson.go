// Package respjson tells what of a response was there, null, or of another type than expected.
package respjson

// What Raw returns for a field that is not there, and for one that is null.
const (
	Omitted = ""
	Null    = "null"
)

// Field is a field of a response as it came.
type Field struct {
	raw   string
	valid bool
}

// NewField returns a field that was decoded.
func NewField(raw string) Field { return Field{raw, raw != Omitted && raw != Null} }

// NewInvalidField returns a field that could not be decoded.
func NewInvalidField(raw string) Field { return Field{raw, false} }

// Valid reports whether the field was there, was not null, and had the type that was expected.
func (f Field) Valid() bool { return f.valid }

// Raw returns the field's JSON; Omitted where it was not there.
func (f Field) Raw() string { return f.raw }
