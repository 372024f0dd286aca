package api

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Everything that is answered is described, with the scopes that it needs, and nothing else is.
func TestDescriptionHasEveryRoute(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, op := range (&API{}).operations() {
		line := op.method + " " + op.pattern + " " + op.scopes
		if op.basic {
			line += " basic"
		}
		want = append(want, line)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			got = append(got, strings.ToUpper(method)+" "+path+" "+access(op.Security))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// access writes what an operation needs as a route does: the scopes, and whether Basic will do.
func access(ways []map[string][]string) string {
	var text string
	for _, way := range ways {
		if scopes := way["bearer"]; len(scopes) > 0 {
			text = strings.Join(scopes, " ") + text
		}
		if way["basic"] != nil {
			text += " basic"
		}
	}
	return text
}
