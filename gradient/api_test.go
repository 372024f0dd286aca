package gradient_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"ingot/gradient"
	"ingot/gradient/ingot"
)

// TestEveryMethodIsListed holds api.md to the code.
func TestEveryMethodIsListed(t *testing.T) {
	text, err := os.ReadFile("api.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, client := range []any{gradient.Client{}, ingot.Client{}} {
		seen += listed(t, string(text), "client", reflect.TypeOf(client))
	}
	if seen < 25 {
		t.Errorf("%d methods were looked for", seen)
	}
}

// listed looks for the methods of a client's services, and of the services in those.
func listed(t *testing.T, text, path string, of reflect.Type) (seen int) {
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Type.Kind() != reflect.Struct {
			continue
		}
		service := path + "." + field.Name
		for m := range reflect.PointerTo(field.Type).Methods() {
			if want := fmt.Sprintf("`%s.%s(ctx", service, m.Name); !strings.Contains(text, want) {
				t.Errorf("api.md lacks %s", want)
			}
			seen++
		}
		seen += listed(t, text, service, field.Type)
	}
	return seen
}
