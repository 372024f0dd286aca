package api_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/responses"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// described holds answers against the description that the service itself gives.
type described struct {
	whole, head responses.ResponseBodyValidator // head: all but the body
	paths       []describedPath
}

type describedPath struct {
	template string
	match    *regexp.Regexp
	item     *v3.PathItem
}

// newDescribed fetches the description and checks it against the rules of OpenAPI 3.1.
func newDescribed(t testing.TB, h http.Handler) *described {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	if ct := w.Header().Get("Content-Type"); w.Code != http.StatusOK || ct != "application/json" {
		t.Fatalf("/openapi.json: %d, %s", w.Code, ct)
	}
	doc, err := libopenapi.NewDocument(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		t.Fatal(errs[0].Message, errs[0].Reason, errs[0].SchemaValidationErrors)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	d := &described{
		whole: responses.NewResponseBodyValidator(&model.Model, config.WithFormatAssertions()),
		head:  responses.NewResponseBodyValidator(&model.Model, config.WithoutResponseBodyValidation()),
	}
	name := regexp.MustCompile(`\{[a-z]+\}`)
	for template, item := range model.Model.Paths.PathItems.FromOldest() {
		d.paths = append(d.paths, describedPath{template, regexp.MustCompile("^" + name.ReplaceAllString(template, "[^/]+") + "$"), item})
	}
	return d
}

// path returns what is described for a target, as clients spell it: they append to base URLs in many ways.
func (d *described) path(target string) (describedPath, bool) {
	path, _, _ := strings.Cut(target, "?")
	if u, err := url.Parse(path); err == nil && u.Scheme != "" {
		path = u.EscapedPath()
	}
	path = strings.TrimSuffix(regexp.MustCompile("/+").ReplaceAllString(path, "/"), "/")
	for _, p := range d.paths {
		if p.match.MatchString(path) {
			return p, true
		}
	}
	return describedPath{}, false
}

// check compares the answer to a request with what is described. What no path or method is described for must be
// answered as the description's text says: 404, 405, or the 204 of a preflight.
func (d *described) check(t *testing.T, method, target string, resp *http.Response, body []byte) {
	t.Helper()
	path, ok := d.path(target)
	if !ok {
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%d on a path that is not described", resp.StatusCode)
		}
		return
	}
	request := &http.Request{Method: method, URL: &url.URL{Path: path.template}, Header: http.Header{}}
	v := d.whole
	if method == http.MethodHead {
		v = d.head
		if path.item.Head == nil {
			request.Method = http.MethodGet
		}
	}
	if path.item.GetOperations().GetOrZero(strings.ToLower(request.Method)) == nil {
		want := http.StatusMethodNotAllowed
		if method == http.MethodOptions {
			want = http.StatusNoContent
		}
		if resp.StatusCode != want {
			t.Errorf("%d to a method that is not described, want %d", resp.StatusCode, want)
		}
		return
	}
	answer := *resp
	answer.Body = io.NopCloser(bytes.NewReader(body))
	_, errs := v.ValidateResponseBodyWithPathItem(request, &answer, path.item, path.template)
	for _, e := range errs {
		t.Errorf("not as described: %s %s: %d: %s: %s %v", request.Method, path.template, resp.StatusCode, e.Message, e.Reason, e.SchemaValidationErrors)
	}
}
