package gradient_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/gradient"
	"ingot/gradient/option"
	"ingot/gradient/packages/param"
)

func TestBaseURL(t *testing.T) {
	for suffix, path := range map[string]string{
		"": "/v2/images", "/": "/v2/images", "/v2": "/v2/images", "/v2/": "/v2/images", "/a/b": "/a/b/v2/images",
		"/a/v2//": "/a/v2/images", "/v2?x=1#y": "/v2/images", "/v2x": "/v2x/v2/images",
	} {
		f := newFaulty(t, answer(200, `{}`))
		client := gradient.NewClient(option.WithBaseURL(f.URL + suffix))
		if _, err := client.GPUDroplets.Images.List(t.Context(), gradient.GPUDropletImageListParams{}); err != nil {
			t.Fatal(err)
		}
		if got := f.Requests()[0].RequestURI; got != path {
			t.Errorf("%q: %s, want %s", suffix, got, path)
		}
	}
	for _, bad := range []string{"", "localhost:8080", "ftp://a", "http://", "/v2", "http://a b"} {
		client := gradient.NewClient(option.WithBaseURL(bad))
		if _, err := client.GPUDroplets.Images.Get(t.Context(), byID(1)); err == nil || !strings.Contains(err.Error(), "base URL") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	f := newFaulty(t, answer(200, `{}`), answer(200, `{}`), answer(200, `{}`), answer(200, `{}`))
	t.Setenv("DIGITALOCEAN_ACCESS_TOKEN", "of the environment")
	t.Setenv("GRADIENT_BASE_URL", f.URL+"/v2/")
	client := gradient.NewClient()
	other := gradient.NewClient(option.WithAccessToken("of the client"))
	images, services := client.GPUDroplets.Images, other.GPUDroplets.Images
	if _, err := images.Get(t.Context(), byID(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := services.Get(t.Context(), byID(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := services.Get(t.Context(), byID(1), option.WithAccessToken("of the request")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"of the environment", "of the client", "of the request"} {
		if got := f.Requests()[i].Header.Get("Authorization"); got != "Bearer "+want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
	}
	t.Setenv("GRADIENT_BASE_URL", "nonsense")
	explicit := f.client()
	if _, err := explicit.GPUDroplets.Images.Get(t.Context(), byID(1)); err != nil {
		t.Errorf("the environment's base URL wins over the client's: %v", err)
	}
	broken := gradient.NewClient()
	if _, err := broken.GPUDroplets.Images.Get(t.Context(), byID(1)); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Error(err)
	}
}

// TestDefaultIsDigitalOcean sends nothing: the middleware answers.
func TestDefaultIsDigitalOcean(t *testing.T) {
	t.Setenv("GRADIENT_BASE_URL", "")
	t.Setenv("DIGITALOCEAN_ACCESS_TOKEN", "")
	var seen *http.Request
	client := gradient.NewClient(option.WithMiddleware(func(r *http.Request, _ option.MiddlewareNext) (*http.Response, error) {
		seen = r
		return &http.Response{StatusCode: 200}, nil // all that a middleware must say
	}))
	if _, err := client.GPUDroplets.Images.Get(t.Context(), byID(1)); err != nil {
		t.Fatal(err)
	}
	if seen.URL.String() != "https://api.digitalocean.com/v2/images/1" || seen.Header.Get("Authorization") != "" {
		t.Errorf("%s %v", seen.URL, seen.Header)
	}
}

func TestOptions(t *testing.T) {
	f := newFaulty(t, answer(200, `{"image":{"id":7}}`, "X-Served-By", "test"))
	var order []string
	note := func(name string) option.Middleware {
		return func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			order = append(order, name)
			res, err := next(r)
			order = append(order, name+" after")
			return res, err
		}
	}
	var raw *http.Response
	var body []byte
	client := f.client(option.WithHeader("X-A", "client"), option.WithHeader("X-B", "client"), option.WithMiddleware(note("client")))
	_, err := client.GPUDroplets.Images.Get(t.Context(), byID(7),
		option.WithHeader("X-A", "request"), option.WithHeaderAdd("X-A", "too"), option.WithHeaderDel("X-B"),
		option.WithQuery("a", "1 &2"), option.WithQueryAdd("a", "3"), option.WithQuery("b", "x"), option.WithQueryDel("b"),
		option.WithMiddleware(note("request")), option.WithHTTPClient(&http.Client{Timeout: time.Minute}),
		option.WithResponseInto(&raw), option.WithResponseBodyInto(&body))
	if err != nil {
		t.Fatal(err)
	}
	r := f.Requests()[0]
	if diff := cmp.Diff([]string{"request", "too"}, r.Header.Values("X-A")); diff != "" || r.Header.Values("X-B") != nil {
		t.Error(diff, r.Header)
	}
	if r.RequestURI != "/v2/images/7?a=1+%262&a=3" || !strings.HasPrefix(r.UserAgent(), "ingot-gradient-go/") {
		t.Error(r.RequestURI, r.UserAgent())
	}
	if diff := cmp.Diff([]string{"client", "request", "request after", "client after"}, order); diff != "" {
		t.Error(diff)
	}
	if raw.Header.Get("X-Served-By") != "test" || string(body) != `{"image":{"id":7}}` {
		t.Errorf("%v %s", raw.Header, body)
	}
}

func TestBadOptions(t *testing.T) {
	client := gradient.NewClient(option.WithBaseURL("http://127.0.0.1:1"))
	for want, opt := range map[string]option.RequestOption{"negative": option.WithMaxRetries(-1), "nil": option.WithHTTPClient(nil)} {
		if _, err := client.GPUDroplets.Images.Get(t.Context(), byID(1), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := client.Post(t.Context(), "v2/x", func() {}, nil); err == nil || !strings.Contains(err.Error(), "encode") {
		t.Error(err)
	}
}

func TestVerbs(t *testing.T) {
	ok := answer(200, `{"a":1}`)
	f := newFaulty(t, ok, ok, ok, ok, ok)
	client := f.client()
	var res struct{ A int }
	body := map[string]string{"b": "c"}
	for method, call := range map[string]func() error{
		"GET":    func() error { return client.Get(t.Context(), "/v2/x", nil, &res) },
		"POST":   func() error { return client.Post(t.Context(), "v2/x", body, &res) },
		"PUT":    func() error { return client.Put(t.Context(), "v2/x", body, &res) },
		"PATCH":  func() error { return client.Patch(t.Context(), "v2/x", body, &res) },
		"DELETE": func() error { return client.Delete(t.Context(), "v2/x", body, &res) },
	} {
		res.A = 0
		if err := call(); err != nil || res.A != 1 {
			t.Errorf("%s: %v %v", method, res, err)
		}
		if r := f.Requests()[len(f.Requests())-1]; r.Method != method || r.RequestURI != "/v2/x" {
			t.Errorf("%s sent %s %s", method, r.Method, r.RequestURI)
		}
	}
}

func TestOpt(t *testing.T) {
	type fields struct {
		A param.Opt[string] `json:"a,omitzero"`
		B param.Opt[int64]  `json:"b,omitzero"`
	}
	for want, f := range map[string]fields{
		`{}`:               {},
		`{"a":"","b":0}`:   {gradient.String(""), gradient.Int(0)},
		`{"a":null,"b":7}`: {param.Null[string](), gradient.Int(7)},
		`{"a":"assigned"}`: {A: param.Opt[string]{Value: "assigned"}},
	} {
		got, err := json.Marshal(f)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		var back fields
		if err := json.Unmarshal(got, &back); err != nil || back.A.Value != f.A.Value || back.A.Valid() != f.A.Valid() || param.IsNull(back.A) != param.IsNull(f.A) {
			t.Errorf("%s came back as %+v, %v", got, back, err)
		}
	}
	if gradient.String("a").Or("b") != "a" || (param.Opt[string]{}).Or("b") != "b" || !param.IsOmitted(param.Opt[int64]{}) || param.IsOmitted(gradient.Int(0)) {
		t.Error("Or or IsOmitted")
	}
	if s := gradient.Int(7).String() + param.Null[bool]().String() + (param.Opt[bool]{}).String(); s != "7null" {
		t.Error(s)
	}
}
