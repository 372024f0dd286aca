package gradient_test

import (
	"encoding/json"
	"testing"

	"ingot/gradient"
)

// FuzzImage: what is an object is an image, whatever is in it, and nothing of it is lost.
func FuzzImage(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"id":7,"name":"a","regions":["nyc3"],"created_at":"2014-11-14T16:42:45Z","min_disk_size":20,"size_gigabytes":2.34,"tags":[]}`,
		`{"id":"7","regions":"nyc3","created_at":"yesterday","tags":[null],"public":1,"slug":null}`, `{"id":1e400,"x":{"y":[]}}`, `null`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var object map[string]json.RawMessage
		isObject := json.Unmarshal(data, &object) == nil
		var m gradient.Image
		if err := m.UnmarshalJSON(data); (err == nil) != isObject {
			t.Fatalf("an object: %v, an image: %v", isObject, err)
		}
		if isObject && (m.RawJSON() != string(data) || len(object) == 0 && m.JSON.ExtraFields != nil) {
			t.Errorf("%+v", m)
		}
		if _, there := object["id"]; there != (m.JSON.ID.Raw() != "") {
			t.Errorf("id: %q", m.JSON.ID.Raw())
		}
	})
}
