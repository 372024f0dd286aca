package gradient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/gradient"
	"ingot/gradient/option"
)

const found = `{"image":{"id":7,"name":"found"}}`

// soon is a server's wish to be asked again at once.
var soon = []string{"Retry-After-Ms", "1"}

func TestRetries(t *testing.T) {
	unavailable := answer(503, `{"id":"service_unavailable","message":"busy","request_id":"r"}`, soon...)
	for name, test := range map[string]struct {
		answers []http.HandlerFunc
		opts    []option.RequestOption
		status  int // of the error; 0: none
	}{
		"408":                    {[]http.HandlerFunc{answer(408, `{}`, soon...), answer(200, found)}, nil, 0},
		"409":                    {[]http.HandlerFunc{answer(409, `{}`, soon...), answer(200, found)}, nil, 0},
		"429 in seconds":         {[]http.HandlerFunc{answer(429, `{}`, "Retry-After", "0"), answer(200, found)}, nil, 0},
		"429 in parts of one":    {[]http.HandlerFunc{answer(429, `{}`, "Retry-After", "0.001"), answer(200, found)}, nil, 0},
		"500 with a date":        {[]http.HandlerFunc{answer(500, `{}`, "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), answer(200, found)}, nil, 0},
		"503 twice":              {[]http.HandlerFunc{unavailable, unavailable, answer(200, found)}, nil, 0},
		"503 thrice":             {[]http.HandlerFunc{unavailable, unavailable, unavailable}, nil, 503},
		"503 and no retries":     {[]http.HandlerFunc{unavailable}, []option.RequestOption{option.WithMaxRetries(0)}, 503},
		"503 and more retries":   {[]http.HandlerFunc{unavailable, unavailable, unavailable, answer(200, found)}, []option.RequestOption{option.WithMaxRetries(3)}, 0},
		"no answer":              {[]http.HandlerFunc{hangUp, answer(200, found)}, nil, 0},
		"422 is final":           {[]http.HandlerFunc{answer(422, `{}`, soon...)}, nil, 422},
		"404 is final":           {[]http.HandlerFunc{answer(404, `{}`)}, nil, 404},
		"503 that shall be":      {[]http.HandlerFunc{answer(503, `{}`, "X-Should-Retry", "false")}, nil, 503},
		"400 that shall not be":  {[]http.HandlerFunc{answer(400, `{}`, "X-Should-Retry", "true", "Retry-After-Ms", "1"), answer(200, found)}, nil, 0},
		"a wait of more than 1m": {[]http.HandlerFunc{answer(429, `{}`, "Retry-After", "61")}, nil, 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t, test.answers...)
			client := f.client(test.opts...)
			got, err := client.GPUDroplets.Images.Get(t.Context(), byID(7))
			if len(f.Requests()) != len(test.answers) {
				t.Errorf("%d requests, want %d", len(f.Requests()), len(test.answers))
			}
			var e *gradient.Error
			switch {
			case test.status == 0:
				if err != nil || got.Image.Name != "found" {
					t.Errorf("%+v, %v", got, err)
				}
			case !errors.As(err, &e) || e.StatusCode != test.status || got != nil:
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestRetriedPost: the attempts of one POST are one request for the server, and two POSTs are two.
func TestRetriedPost(t *testing.T) {
	f := newFaulty(t, answer(503, `{}`, soon...), hangUp, answer(202, found), answer(202, found), answer(202, found))
	client := f.client()
	for range 2 {
		if _, err := client.GPUDroplets.Images.New(t.Context(), newImage); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.GPUDroplets.Images.New(t.Context(), newImage, option.WithHeader("Idempotency-Key", "mine")); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i, r := range f.Requests() {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if f.Bodies()[i] != f.Bodies()[0] || f.Bodies()[i] == "" {
			t.Errorf("attempt %d sent %q", i, f.Bodies()[i])
		}
	}
	if keys[0] == "" || keys[0] != keys[1] || keys[0] != keys[2] || keys[3] == keys[0] || keys[4] != "mine" {
		t.Errorf("keys: %q", keys)
	}
}

// TestRetriedPostMakesOneImage sends a POST whose first answer is lost to the real service.
func TestRetriedPostMakesOneImage(t *testing.T) {
	s := newService(t)
	lost := 0
	lose := func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		res, err := next(r)
		if r.Method == http.MethodPost && lost == 0 && err == nil {
			lost++
			res.Body.Close()
			return nil, errors.New("the answer was lost")
		}
		return res, err
	}
	client := s.client(option.WithMiddleware(lose))
	m, err := client.GPUDroplets.Images.New(t.Context(), newImage)
	if err != nil || lost != 1 {
		t.Fatal(lost, err)
	}
	page, err := client.GPUDroplets.Images.List(t.Context(), gradient.GPUDropletImageListParams{})
	if err != nil || page.Meta.Total != 1 || page.Images[0].ID != m.Image.ID {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestActionsAreNotRepeatedInDoubt: the service may have begun the action whose answer is lost.
func TestActionsAreNotRepeatedInDoubt(t *testing.T) {
	started := answer(201, `{"action":{"id":9}}`)
	for name, test := range map[string]struct {
		answers []http.HandlerFunc
		ok      bool
	}{
		"no answer": {[]http.HandlerFunc{hangUp}, false},
		"500":       {[]http.HandlerFunc{answer(500, `{}`, soon...)}, false},
		"502":       {[]http.HandlerFunc{answer(502, `{}`, soon...)}, false},
		"503":       {[]http.HandlerFunc{answer(503, `{}`, soon...), started}, true},
		"429":       {[]http.HandlerFunc{answer(429, `{}`, soon...), started}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t, test.answers...)
			client := f.client()
			action, err := client.GPUDroplets.Images.Actions.New(t.Context(), 7, gradient.GPUDropletImageActionNewParams{
				OfImageActionTransfer: &gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{Region: gradient.RegionSlugFra1},
			})
			if (err == nil) != test.ok || test.ok && action.ID != 9 || len(f.Requests()) != len(test.answers) {
				t.Errorf("%+v, %v, %d requests", action, err, len(f.Requests()))
			}
		})
	}
}

// TestActionsWaitForAConnection: what was never sent has done nothing.
func TestActionsWaitForAConnection(t *testing.T) {
	f := newFaulty(t, answer(201, `{"action":{"id":9}}`))
	attempts := 0
	client := f.client(option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		if attempts++; attempts == 1 {
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
		}
		return next(r)
	}))
	_, err := client.GPUDroplets.Images.Actions.New(t.Context(), 7, gradient.GPUDropletImageActionNewParams{
		OfImageActionTransfer: &gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{Region: gradient.RegionSlugFra1},
	})
	if err != nil || attempts != 2 {
		t.Errorf("%v, after %d attempts", err, attempts)
	}
}

func TestBodyOfOneUse(t *testing.T) {
	f := newFaulty(t, answer(503, `{}`, soon...), answer(503, `{}`, soon...), answer(200, `{}`))
	client := f.client()
	var e *gradient.Error
	err := client.Post(t.Context(), "v2/x", nil, nil, option.WithRequestBody("text/plain", io.LimitReader(strings.NewReader("once"), 10)))
	if !errors.As(err, &e) || len(f.Requests()) != 1 || f.Bodies()[0] != "once" {
		t.Errorf("%d requests, %v", len(f.Requests()), err)
	}
	read := strings.NewReader("not again")
	if _, err := read.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := client.Post(t.Context(), "v2/x", nil, nil, option.WithRequestBody("text/plain", read)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"once", "again", "again"}, f.Bodies()); diff != "" {
		t.Error(diff)
	}
}

func TestTimeoutOfOneAttempt(t *testing.T) {
	late := make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-late:
		}
	}
	f := newFaulty(t, hang, answer(200, found), hang)
	defer close(late)
	client := f.client(option.WithRequestTimeout(50 * time.Millisecond))
	if got, err := client.GPUDroplets.Images.Get(t.Context(), byID(7)); err != nil || got.Image.Name != "found" {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := client.GPUDroplets.Images.Get(t.Context(), byID(7), option.WithMaxRetries(0))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestTimeoutCoversTheBody: a server that begins an answer and then says nothing is no success.
func TestTimeoutCoversTheBody(t *testing.T) {
	f := newFaulty(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"image":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	client := f.client(option.WithRequestTimeout(50 * time.Millisecond))
	if _, err := client.GPUDroplets.Images.Get(t.Context(), byID(7)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestContextEndsTheWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := newFaulty(t, func(w http.ResponseWriter, r *http.Request) {
		answer(503, `{}`, "Retry-After", "60")(w, r)
		time.AfterFunc(20*time.Millisecond, cancel)
	})
	client := f.client()
	_, err := client.GPUDroplets.Images.Get(ctx, byID(7))
	var e *gradient.Error
	if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || len(f.Requests()) != 1 {
		t.Errorf("%d requests, %v", len(f.Requests()), err)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"cut":         {cut, "cut"},
		"broken JSON": {answer(200, `{"image":{"id":7}`), "JSON"},
		"no object":   {answer(200, `[1,2]`), "JSON"},
		"a web page":  {answer(200, `<html>`, "Content-Type", "text/html"), "is this the address of the API?"},
		"a redirect":  {answer(304, ``), "304"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty(t, test.answer)
			client := f.client()
			got, err := client.GPUDroplets.Images.Get(t.Context(), byID(7))
			if err == nil || got != nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for name, test := range map[string]struct {
		answer               http.HandlerFunc
		id, message, request string
		text                 string
	}{
		"ours":         {answer(422, `{"id":"unprocessable_entity","message":"name is required.","request_id":"r1"}`), "unprocessable_entity", "name is required.", "r1", "422 Unprocessable Entity: name is required. (request r1)"},
		"a header's":   {answer(404, `{"id":"not_found","message":"no"}`, "X-Request-Id", "r2"), "not_found", "no", "r2", "404 Not Found: no (request r2)"},
		"of tagging":   {answer(400, `{"error":"bad tag","messages":null,"root_causes":[]}`), "", "bad tag", "", "400 Bad Request: bad tag"},
		"a proxy's":    {answer(413, "<html>too large</html>\n", "Content-Type", "text/html"), "", "", "", "413 Request Entity Too Large: <html>too large</html>"},
		"without body": {answer(404, ``), "", "", "", "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty(t, test.answer)
			client := f.client()
			_, err := client.GPUDroplets.Images.New(t.Context(), newImage)
			var e *gradient.Error
			if !errors.As(err, &e) || e.ID != test.id || e.Message != test.message || e.RequestID != test.request {
				t.Fatalf("%+v", err)
			}
			if want := `POST "` + f.URL + `/v2/images": ` + test.text; e.Error() != want {
				t.Errorf("%s\nwant %s", e, want)
			}
			body, err := io.ReadAll(e.Response.Body)
			if err != nil || string(body) != e.RawJSON() {
				t.Errorf("%q, %v, want %q", body, err, e.RawJSON())
			}
		})
	}
}

// TestDumps: what goes into a log shows what happened, and no secret.
func TestDumps(t *testing.T) {
	f := newFaulty(t, answer(422, `{"id":"unprocessable_entity","message":"no"}`, "Set-Cookie", "session=secret"))
	client := f.client(option.WithHeader("Cookie", "session=secret"))
	_, err := client.GPUDroplets.Images.New(t.Context(), newImage)
	var e *gradient.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	request, response := e.DumpRequest(true), e.DumpResponse(true)
	for _, want := range []string{"POST /v2/images HTTP/1.1", `"name":"debian-12"`, "Idempotency-Key: ", "User-Agent: ingot-gradient-go/"} {
		if !bytes.Contains(request, []byte(want)) {
			t.Errorf("the request's dump lacks %q:\n%s", want, request)
		}
	}
	if !bytes.Contains(response, []byte(`"message":"no"`)) || !bytes.Contains(response, []byte("422")) {
		t.Errorf("the answer's dump:\n%s", response)
	}
	for _, dump := range [][]byte{request, response, []byte(e.Error())} {
		if bytes.Contains(dump, []byte(token)) || bytes.Contains(dump, []byte("secret")) {
			t.Errorf("a dump has a secret:\n%s", dump)
		}
	}
	if r := f.Requests()[0]; r.Header.Get("Authorization") != "Bearer "+token {
		t.Errorf("sent %q", r.Header.Get("Authorization"))
	}
	if got := e.Request.Header.Get("Authorization"); got != "Bearer "+token {
		t.Errorf("dumping changed the request: %q", got)
	}
}

// TestDumpOfABodyOfOneUse: what was sent once is gone, and the rest of the request is not.
func TestDumpOfABodyOfOneUse(t *testing.T) {
	f := newFaulty(t, answer(422, `{}`))
	ctx, cancel := context.WithCancel(t.Context())
	client := f.client()
	err := client.Post(ctx, "v2/x", nil, nil, option.WithRequestBody("text/plain", io.LimitReader(strings.NewReader("once"), 10)))
	cancel()
	var e *gradient.Error
	if !errors.As(err, &e) || !bytes.Contains(e.DumpRequest(true), []byte("Content-Type: text/plain")) {
		t.Errorf("%v", err)
	}
}

func TestRealErrors(t *testing.T) {
	s := newService(t)
	client := s.client()
	images := client.GPUDroplets.Images
	_, err := images.New(t.Context(), gradient.GPUDropletImageNewParams{})
	if e := wantError(t, err, 422, "unprocessable_entity"); !strings.Contains(e.Message, "name, url and region") {
		t.Error(e.Message)
	}
	_, err = images.Get(t.Context(), byID(7), option.WithAccessToken("wrong"))
	e := wantError(t, err, 401, "unauthorized")
	if e.RequestID != e.Response.Header.Get("X-Request-Id") {
		t.Error(e.RequestID)
	}
}
