// Package apijson decodes responses: leniently, since a field that a server added or changed must not take the other
// fields away, and keeping what came.
package apijson

import (
	"encoding/json"
	"reflect"
	"strings"

	"ingot/gradient/packages/respjson"
)

var fieldType = reflect.TypeFor[respjson.Field]()

// Unmarshal decodes an object into the struct that v points to. Where that has a struct JSON, it is told of each
// field: under the field's name, or in ExtraFields. A field of another type than expected keeps its zero value. An
// error means that data is no object.
func Unmarshal(data []byte, v any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	s := reflect.ValueOf(v).Elem()
	meta := s.FieldByName("JSON")
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		raw, ok := object[name]
		delete(object, name)
		if !ok {
			continue
		}
		field := decode(raw, s.Field(i))
		if m := meta.FieldByName(s.Type().Field(i).Name); m.IsValid() && m.Type() == fieldType {
			m.Set(reflect.ValueOf(field))
		}
	}
	keepExtra(object, meta)
	return nil
}

func decode(raw json.RawMessage, into reflect.Value) respjson.Field {
	fresh := reflect.New(into.Type())
	if err := json.Unmarshal(raw, fresh.Interface()); err != nil {
		return respjson.NewInvalidField(string(raw))
	}
	into.Set(fresh.Elem())
	return respjson.NewField(string(raw))
}

func keepExtra(object map[string]json.RawMessage, meta reflect.Value) {
	extra := meta.FieldByName("ExtraFields")
	if len(object) == 0 || !extra.IsValid() {
		return
	}
	fields := make(map[string]respjson.Field, len(object))
	for name, raw := range object {
		fields[name] = respjson.NewField(string(raw))
	}
	extra.Set(reflect.ValueOf(fields))
}
