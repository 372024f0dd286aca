package clients

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"ingot/e2e/harness"
)

// many is more images than one page of any client holds, and no multiple of a page size.
const many = 413

// TestEveryPage lists many images by every client, and by two that are written here after clients seen elsewhere: one
// follows links.pages.next as it stands, one reads pages up to the number in links.pages.last, four at once.
func TestEveryPage(t *testing.T) {
	o, ca := newOrigin(t), newAuthority(t) // some clients refuse to start with a setting that names no file
	// The only worker waits for a source that never answers, so that the images stay what they are.
	s := harness.Start(t, executable, t.TempDir(), "--allow-source", o.allow(), "--workers", "1")
	want := make([]string, many)
	for i := range want {
		want[i] = strconv.FormatInt(create(t, s, fmt.Sprint("image ", i), o.URL+"/never"), 10)
	}
	for name, read := range map[string]func(*testing.T, *harness.Service) []string{"next": byNext, "last": byLast} {
		t.Run(name, func(t *testing.T) { compare(t, want, read(t, s)) })
	}
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			c.need(t)
			list := filepath.Join(t.TempDir(), "ids")
			out := c.run(t, s, c.folder(t), c.pages, append(c.environment(s.URL, s.Token, ca.file), "OUT="+list))
			if b, err := os.ReadFile(list); err == nil {
				out = string(b)
			}
			compare(t, want, strings.Fields(out))
		})
	}
}

func compare(t *testing.T, want, got []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%d ids, the first and last %.60q; want %d", len(got), got, len(want))
	}
}

type page struct {
	Images []struct{ ID json.Number }
	Links  struct{ Pages *struct{ Next, Last string } }
	Meta   struct{ Total int }
}

func (p page) ids() (ids []string) {
	for _, m := range p.Images {
		ids = append(ids, m.ID.String())
	}
	return ids
}

// byNext asks for one page and then for whatever URL next says, until there is none.
func byNext(t *testing.T, s *harness.Service) (ids []string) {
	next := s.URL + "/v2/images?private=true&per_page=7"
	for range 2 * many {
		p, err := get(s, next)
		if err != nil {
			t.Fatal(err)
		}
		if p.Meta.Total != many {
			t.Fatalf("meta.total is %d", p.Meta.Total)
		}
		ids = append(ids, p.ids()...)
		if p.Links.Pages == nil || p.Links.Pages.Next == "" {
			return ids
		}
		next = p.Links.Pages.Next
	}
	t.Fatal("next has no end")
	return nil
}

// byLast reads the first page, and from the number in last how many more there are.
func byLast(t *testing.T, s *harness.Service) []string {
	first, err := get(s, s.URL+"/v2/images?private=true&per_page=20")
	if err != nil {
		t.Fatal(err)
	}
	last, err := url.Parse(first.Links.Pages.Last)
	if err != nil {
		t.Fatal(err)
	}
	count, err := strconv.Atoi(last.Query().Get("page"))
	if err != nil {
		t.Fatal(err)
	}
	pages := make([][]string, count+1)
	pages[1] = first.ids()
	var workers errgroup.Group
	workers.SetLimit(4)
	for n := 2; n <= count; n++ {
		workers.Go(func() error {
			p, err := get(s, fmt.Sprintf("%s/v2/images?private=true&per_page=20&page=%d", s.URL, n))
			pages[n] = p.ids()
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(pages...)
}

func get(s *harness.Service, url string) (p page, err error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return p, err
	}
	body, err := send(s, req, http.StatusOK)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(body, &p)
}

func create(t *testing.T, s *harness.Service, name, source string) int64 {
	t.Helper()
	req, err := http.NewRequest("POST", s.URL+"/v2/images", strings.NewReader(fmt.Sprintf(`{"name":%q,"url":%q,"region":"nyc3"}`, name, source)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := send(s, req, http.StatusAccepted)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Image struct{ ID int64 } }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Image.ID
}

func send(s *harness.Service, req *http.Request, want int) ([]byte, error) {
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %d %s", req.Method, req.URL, resp.StatusCode, body)
	}
	return body, err
}
