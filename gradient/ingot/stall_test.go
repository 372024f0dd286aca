package ingot_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ingot/gradient/ingot"
	"ingot/gradient/option"
)

// doer answers requests without a network, so that time can be the test's own.
type doer func(n int, r *http.Request) *http.Response

type counted struct {
	doer
	n int
}

func (c *counted) Do(r *http.Request) (*http.Response, error) {
	c.n++
	return c.doer(c.n, r), nil
}

func offline(d doer) ingot.Client {
	return ingot.NewClient(option.WithBaseURL("http://example.com"), option.WithHTTPClient(&counted{doer: d}))
}

// silence is a body in which nothing comes until the request ends.
type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s silence) Close() error { return nil }

func response(r *http.Request, status int, body io.ReadCloser, headers ...string) *http.Response {
	res := &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: body, Header: http.Header{}, Request: r, ContentLength: -1}
	for i := 0; i < len(headers); i += 2 {
		res.Header.Set(headers[i], headers[i+1])
	}
	return res
}

func text(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func TestSilentDownloadIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := offline(func(n int, r *http.Request) *http.Response {
			switch n {
			case 1:
				res := response(r, 200, http.NoBody, "ETag", `"a"`)
				res.ContentLength = 4
				return res
			case 2:
				return response(r, 206, silence{r.Context()}, "ETag", `"a"`, "Content-Range", "bytes 0-3/4")
			}
			return response(r, 206, text("data"), "ETag", `"a"`, "Content-Range", "bytes 0-3/4")
		})
		f, err := client.Files.Open(t.Context(), 7, ingot.FileOpenParams{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got, err := io.ReadAll(f.NewReader(0))
		if took := time.Since(start); err != nil || string(got) != "data" || took < time.Minute || took > 2*time.Minute {
			t.Errorf("%q, %v, after %v", got, err, took)
		}
	})
}

func TestSilentStreamIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := offline(func(n int, r *http.Request) *http.Response {
			body := io.ReadCloser(silence{r.Context()})
			if n == 2 {
				body = text("event: done\ndata: {\"phase\":\"done\"}\n\n")
			}
			return response(r, 200, body, "Content-Type", "text/event-stream")
		})
		start := time.Now()
		_, err := client.Imports.Wait(t.Context(), 7, nil)
		if took := time.Since(start); err != nil || took < time.Minute || took > 2*time.Minute {
			t.Errorf("%v, after %v", err, took)
		}
	})
}

// TestPatienceEnds: a service that never says anything is given up, and the error says why.
func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		client := offline(func(_ int, r *http.Request) *http.Response {
			attempts++
			return response(r, 200, silence{r.Context()}, "Content-Type", "text/event-stream")
		})
		if _, err := client.Imports.Wait(t.Context(), 7, nil); err == nil || !strings.Contains(err.Error(), "nothing moved for a minute") || attempts != 5 {
			t.Errorf("%v, after %d attempts", err, attempts)
		}
	})
}

func TestSilentUploadIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		patches := 0
		client := offline(func(_ int, r *http.Request) *http.Response {
			if r.Method == http.MethodHead {
				return response(r, 200, http.NoBody, "Upload-Offset", "0", "Upload-Length", "4")
			}
			if patches++; patches == 1 {
				return response(r, 204, silence{r.Context()}) // it takes nothing, and says nothing of an offset
			}
			sent, err := io.ReadAll(r.Body)
			if err != nil || string(sent) != "data" {
				t.Errorf("%q, %v", sent, err)
			}
			return response(r, 204, http.NoBody, "Upload-Offset", "4")
		})
		u, err := client.Uploads.Resume(t.Context(), "abc", strings.NewReader("data"), 4, nil)
		if err != nil || u.Offset != 4 || patches != 2 {
			t.Errorf("%+v, %v, %d requests", u, err, patches)
		}
	})
}

// TestUploadOutlastsAnOutage: a service that restarts, or a router, does not end an upload that has begun.
func TestUploadOutlastsAnOutage(t *testing.T) {
	for _, test := range []struct {
		outage time.Duration
		ok     bool
	}{{4 * time.Minute, true}, {6 * time.Minute, false}} {
		synctest.Test(t, func(t *testing.T) {
			start, patches := time.Now(), 0
			client := offline(func(_ int, r *http.Request) *http.Response {
				if since := time.Since(start); since > time.Second && since < test.outage {
					return response(r, http.StatusBadGateway, http.NoBody)
				}
				if r.Method == http.MethodHead {
					return response(r, 200, http.NoBody, "Upload-Offset", "0", "Upload-Length", "4")
				}
				if patches++; patches == 1 {
					time.Sleep(2 * time.Second)
					return response(r, http.StatusBadGateway, http.NoBody)
				}
				return response(r, 204, http.NoBody, "Upload-Offset", "4")
			})
			_, err := client.Uploads.Resume(t.Context(), "abc", strings.NewReader("data"), 4, nil)
			if took := time.Since(start); (err == nil) != test.ok || took > 6*time.Minute {
				t.Errorf("an outage of %v: %v, after %v", test.outage, err, took)
			}
		})
	}
}

// TestUploadToNobody: what has not begun is given up soon.
func TestUploadToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client := offline(func(_ int, r *http.Request) *http.Response { return response(r, http.StatusBadGateway, http.NoBody) })
		_, err := client.Uploads.Resume(t.Context(), "abc", strings.NewReader("data"), 4, nil)
		if took := time.Since(start); err == nil || took > time.Minute {
			t.Errorf("%v, after %v", err, took)
		}
	})
}

// TestWaitsBetweenAttempts: half a second, doubled each time, less a quarter at most.
func TestWaitsBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		client := offline(func(_ int, r *http.Request) *http.Response {
			at = append(at, time.Now())
			return response(r, 500, http.NoBody)
		})
		if _, err := client.Usage.Get(t.Context(), option.WithMaxRetries(6)); err == nil || len(at) != 7 {
			t.Fatalf("%v, %d attempts", err, len(at))
		}
		for i, most := range []time.Duration{500, 1000, 2000, 4000, 8000, 8000} {
			most *= time.Millisecond
			if wait := at[i+1].Sub(at[i]); wait > most || wait < most*3/4 {
				t.Errorf("wait %d: %v", i, wait)
			}
		}
	})
}

func TestRetryAfterIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for header, want := range map[string]time.Duration{"7": 7 * time.Second, "0.25": 250 * time.Millisecond, "60": time.Minute} {
			client := offline(func(n int, r *http.Request) *http.Response {
				if n == 1 {
					return response(r, 429, http.NoBody, "Retry-After", header)
				}
				return response(r, 200, text(`{"usage":{}}`))
			})
			start := time.Now()
			if _, err := client.Usage.Get(t.Context()); err != nil || time.Since(start) != want {
				t.Errorf("%s: %v after %v", header, err, time.Since(start))
			}
		}
	})
}
