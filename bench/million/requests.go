package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// request is one kind of request, and what its answer must be.
type request struct {
	name   string
	method string
	path   func(*account) string
	total  func(*account) int // of a list
}

// requests are in the order in which they are made: deletes take what creates made.
var requests = slicesOf(
	[]request{
		{"create", "POST", func(*account) string { return "/v2/images" }, nil},
		{"get by id", "GET", func(a *account) string { return fmt.Sprint("/v2/images/", a.first+rand.Int64N(int64(a.n))) }, nil},
		{"get by slug", "GET", func(a *account) string { return fmt.Sprint("/v2/images/slug-", 10*(1+rand.IntN(a.nth(10)))) }, nil},
		{"update", "PUT", func(a *account) string { return fmt.Sprint("/v2/images/", a.first+rand.Int64N(int64(a.n))) }, nil},
	},
	list("all", "", func(a *account) int { return a.n + len(a.created) }),
	list("private=true", "private=true&", func(a *account) int { return a.n - a.nth(10) + len(a.created) }),
	list("type=distribution", "type=distribution&", func(a *account) int { return a.nth(20) }),
	list("type=application", "type=application&", func(a *account) int { return a.nth(10) - a.nth(20) }),
	list("tag_name", "tag_name=FOURTH&", func(a *account) int { return 1 + a.nth(4) + len(a.created) }),
	list("tag_name, private", "tag_name=fourth&private=true&", func(a *account) int { return 1 + a.nth(4) - a.nth(20) + len(a.created) }),
	list("tag_name, type", "tag_name=fourth&type=distribution&", func(a *account) int { return a.nth(20) }),
	[]request{{"delete", "DELETE", (*account).lastCreated, nil}},
)

func slicesOf(parts ...[]request) (all []request) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// nth returns how many of the numbers from 1 to n-1 are divisible by d.
func (a *account) nth(d int) int { return (a.n - 1) / d }

const pageSize = 20

// list returns the requests for the first page, one in the middle and the last one.
func list(name, query string, total func(*account) int) []request {
	page := func(of func(pages int) int) func(*account) string {
		return func(a *account) string {
			pages := max(1, (total(a)+pageSize-1)/pageSize)
			return fmt.Sprintf("/v2/images?%spage=%d", query, of(pages))
		}
	}
	return []request{
		{name + ", first page", "GET", page(func(int) int { return 1 }), total},
		{name + ", middle", "GET", page(func(pages int) int { return max(1, pages/4) + rand.IntN(max(1, pages/2)) }), total},
		{name + ", last page", "GET", page(func(pages int) int { return pages }), total},
	}
}

func (a *account) lastCreated() string {
	id := a.created[len(a.created)-1]
	a.created = a.created[:len(a.created)-1]
	return fmt.Sprint("/v2/images/", id)
}

const body = `{"name": "image", "url": "https://example.com/disk.qcow2", "region": "nyc3", "tags": ["fourth"]}`

// make makes a request and returns how long the answer took, read to its end.
func (a *account) make(ctx context.Context, r request) (time.Duration, error) {
	var send io.Reader
	if r.method == http.MethodPost || r.method == http.MethodPut {
		send = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, a.server.URL+r.path(a), send)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	started := time.Now()
	resp, err := a.server.Client().Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	took := time.Since(started)
	if err != nil || resp.StatusCode >= 300 {
		return 0, fmt.Errorf("%s: %s %.200s: %w", req.URL, resp.Status, text, err)
	}
	return took, a.check(r, text)
}

func (a *account) check(r request, text []byte) error {
	if r.method == http.MethodDelete {
		return nil
	}
	var answer struct {
		Image  struct{ ID int64 }
		Images []struct{ ID int64 }
		Meta   struct{ Total int }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if r.method == http.MethodPost {
		a.created = append(a.created, answer.Image.ID)
	}
	if r.total == nil {
		return nil
	}
	if want := r.total(a); answer.Meta.Total != want || len(answer.Images) == 0 {
		return fmt.Errorf("%d images of a total of %d, which is %d", len(answer.Images), answer.Meta.Total, want)
	}
	return nil
}
