package api

import "encoding/json"

// number returns a whole number from 1; it must be there.
func (f *form) number(key string) int64 {
	var n int64
	if raw, ok := f.values[key]; !ok || isNull(raw) || json.Unmarshal(raw, &n) != nil || n < 1 {
		f.wrong(key, "a whole number from 1")
	}
	return n
}

// objects returns an array of objects, none where the key is absent or null.
func (f *form) objects(key string) []*form {
	raw, ok := f.values[key]
	if !ok || isNull(raw) {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		f.wrong(key, "an array of objects")
		return nil
	}
	forms := make([]*form, len(list))
	for i, item := range list {
		if item[0] != '{' {
			f.wrong(key, "an array of objects")
			return nil
		}
		forms[i] = &form{values: map[string]json.RawMessage{}}
		if err := forms[i].read(item); err != nil {
			f.problem = err
			return nil
		}
	}
	return forms
}
