package gradient_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/gradient"
	"ingot/gradient/option"
	"ingot/gradient/packages/param"
	"ingot/internal/image"
)

// newImage has everything that a request for an image can have.
var newImage = gradient.GPUDropletImageNewParams{
	Name:         gradient.String("debian-12"),
	URL:          gradient.String("https://example.com/disk.qcow2"),
	Region:       gradient.RegionSlugNyc3,
	Distribution: gradient.ImageDistributionDebian,
	Description:  gradient.String("nightly"),
	Tags:         []string{"night", "base"},
}

func byID(id int64) gradient.GPUDropletImageGetParamsImageIDUnion {
	return gradient.GPUDropletImageGetParamsImageIDUnion{OfInt: gradient.Int(id)}
}

func bySlug(slug string) gradient.GPUDropletImageGetParamsImageIDUnion {
	return gradient.GPUDropletImageGetParamsImageIDUnion{OfString: gradient.String(slug)}
}

// TestLifeOfAnImage takes an image through all five operations of the real service.
func TestLifeOfAnImage(t *testing.T) {
	s := newService(t)
	images := s.client().GPUDroplets.Images
	created, err := images.New(t.Context(), newImage)
	if err != nil {
		t.Fatal(err)
	}
	m := created.Image
	if m.ID < 1 || m.Status != gradient.ImageStatusNew || m.Name != "debian-12" || m.Distribution != gradient.ImageDistributionDebian ||
		m.Type != gradient.ImageTypeCustom || m.Description != "nightly" || m.CreatedAt.IsZero() || len(m.Regions) != 0 {
		t.Errorf("created: %s", m.RawJSON())
	}
	if diff := cmp.Diff([]string{"base", "night"}, m.Tags); diff != "" {
		t.Error(diff)
	}
	if m.JSON.MinDiskSize.Valid() || m.JSON.MinDiskSize.Raw() != "null" || !m.JSON.ErrorMessage.Valid() || m.JSON.ExtraFields != nil {
		t.Errorf("what was there: %+v", m.JSON)
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := images.Get(t.Context(), byID(m.ID))
	if err != nil || got.Image.Status != gradient.ImageStatusAvailable || got.Image.MinDiskSize != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if diff := cmp.Diff([]gradient.RegionSlug{gradient.RegionSlugNyc3}, got.Image.Regions); diff != "" {
		t.Error(diff)
	}
	updated, err := images.Update(t.Context(), m.ID, gradient.GPUDropletImageUpdateParams{Name: gradient.String("renamed"), Description: gradient.String("")})
	if err != nil || updated.Image.Name != "renamed" || updated.Image.Description != "" || updated.Image.Distribution != gradient.ImageDistributionDebian {
		t.Errorf("%+v, %v", updated, err)
	}
	if err := images.Delete(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, images.Delete(t.Context(), m.ID), 422, "unprocessable_entity")
	_, err = images.Get(t.Context(), byID(m.ID))
	wantError(t, err, 404, "not_found")
}

func wantError(t *testing.T, err error, status int, id string) *gradient.Error {
	t.Helper()
	var e *gradient.Error
	if !errors.As(err, &e) || e.StatusCode != status || e.ID != id || e.Message == "" || e.RequestID == "" {
		t.Fatalf("%v, want %d %s", err, status, id)
	}
	return e
}

func TestGetBySlug(t *testing.T) {
	s := newService(t)
	images := s.client().GPUDroplets.Images
	m, err := images.New(t.Context(), newImage)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := image.Publication{Slug: "debian-12-x64", Kind: image.KindDistribution, Type: image.Base}
	if _, err := s.Catalog.MakePublic(t.Context(), m.Image.ID, p); err != nil {
		t.Fatal(err)
	}
	got, err := images.Get(t.Context(), bySlug("debian-12-x64"))
	if err != nil || got.Image.ID != m.Image.ID || got.Image.Slug != "debian-12-x64" || !got.Image.Public || got.Image.Type != gradient.ImageTypeBase {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = images.Get(t.Context(), bySlug("no/such slug?"))
	wantError(t, err, 404, "not_found")
}

func TestFailedImport(t *testing.T) {
	s := newService(t)
	images := s.client().GPUDroplets.Images
	m, err := images.New(t.Context(), newImage)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fail(t.Context(), "source_not_found", "The URL answers 404."); err != nil {
		t.Fatal(err)
	}
	got, err := images.Get(t.Context(), byID(m.Image.ID))
	if err != nil || got.Image.Status != gradient.ImageStatusDeleted || got.Image.ErrorMessage != "The URL answers 404." {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestList(t *testing.T) {
	s := newService(t)
	images := s.client().GPUDroplets.Images
	var want []string
	for i := range 7 {
		p := newImage
		p.Name = gradient.String(fmt.Sprint("image ", i))
		if _, err := images.New(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		want = append(want, p.Name.Value)
	}
	query := gradient.GPUDropletImageListParams{PerPage: gradient.Int(3), Private: gradient.Bool(true), TagName: gradient.String("NIGHT")}
	page, err := images.List(t.Context(), query)
	if err != nil || len(page.Images) != 3 || page.Meta.Total != 7 {
		t.Fatalf("%+v, %v", page, err)
	}
	var byPage []string
	for ; page != nil && err == nil; page, err = page.GetNextPage() {
		for _, m := range page.Images {
			byPage = append(byPage, m.Name)
		}
	}
	if diff := cmp.Diff(want, byPage); err != nil || diff != "" {
		t.Errorf("GetNextPage: %v\n%s", err, diff)
	}
	pager, walked := images.ListAutoPaging(t.Context(), query), []string(nil)
	for pager.Next() {
		walked = append(walked, pager.Current().Name)
	}
	if diff := cmp.Diff(want, walked); pager.Err() != nil || pager.Index() != 7 || diff != "" {
		t.Errorf("Next: %v\n%s", pager.Err(), diff)
	}
	ranged := []string(nil)
	for m, err := range images.ListAutoPaging(t.Context(), query, option.WithQuery("page", "2")).All() {
		if err != nil {
			t.Fatal(err)
		}
		ranged = append(ranged, m.Name)
	}
	if diff := cmp.Diff(want[3:], ranged); diff != "" {
		t.Errorf("All, from page 2 on: %s", diff)
	}
	query.Type = gradient.GPUDropletImageListParamsTypeApplication
	if page, err := images.List(t.Context(), query); err != nil || len(page.Images) != 0 || page.Images == nil {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestListsEnd holds pagers against servers that would keep them for ever, or lead them astray.
func TestListsEnd(t *testing.T) {
	const one = `"images":[{"id":1}]`
	for name, test := range map[string]struct {
		pages []string
		items int
		err   string
	}{
		"no links":              {[]string{`{` + one + `}`}, 1, ""},
		"links without a next":  {[]string{`{` + one + `,"links":{"pages":{"prev":"http://a/v2/images?page=1"}}}`}, 1, ""},
		"links is null":         {[]string{`{` + one + `,"links":null}`}, 1, ""},
		"next is null":          {[]string{`{` + one + `,"links":{"pages":{"next":null}}}`}, 1, ""},
		"next is empty":         {[]string{`{` + one + `,"links":{"pages":{"next":""}}}`}, 1, ""},
		"the same page":         {[]string{`{` + one + `,"links":{"pages":{"next":"http://a/?page=1"}}}`}, 1, "no end"},
		"a page back":           {[]string{`{` + one + `,"links":{"pages":{"next":"http://a/?page=2"}}}`, `{` + one + `,"links":{"pages":{"next":"http://a/?page=1"}}}`}, 2, "no end"},
		"no number":             {[]string{`{` + one + `,"links":{"pages":{"next":"http://a/?cursor=7"}}}`}, 1, "no page number"},
		"an empty page":         {[]string{`{` + one + `,"links":{"pages":{"next":"http://a/?page=2"}}}`, `{"images":[],"links":{"pages":{"next":"http://a/?page=3"}}}`}, 1, ""},
		"images is null":        {[]string{`{"images":null,"links":{"pages":{"next":"http://a/?page=3"}}}`}, 0, ""},
		"another host, ignored": {[]string{`{` + one + `,"links":{"pages":{"next":"http://elsewhere.invalid/v3?page=2"}}}`, `{` + one + `}`}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var answers []http.HandlerFunc
			for _, page := range test.pages {
				answers = append(answers, answer(200, page))
			}
			f := newFaulty(t, answers...)
			client := f.client()
			pager := client.GPUDroplets.Images.ListAutoPaging(t.Context(), gradient.GPUDropletImageListParams{})
			items := 0
			for pager.Next() {
				items++
			}
			if items != test.items || (pager.Err() == nil) != (test.err == "") || pager.Err() != nil && !strings.Contains(pager.Err().Error(), test.err) {
				t.Errorf("%d items, %v", items, pager.Err())
			}
			if pager.Next() {
				t.Error("it goes on after its end")
			}
			if len(f.Requests()) != len(test.pages) {
				t.Errorf("%d requests", len(f.Requests()))
			}
		})
	}
}

func TestAllEndsWithTheError(t *testing.T) {
	f := newFaulty(t, answer(200, `{"images":[{"id":1}],"links":{"pages":{"next":"http://a/?page=2"}}}`), answer(403, `{"id":"forbidden","message":"no","request_id":"r"}`))
	client := f.client()
	seen := 0
	var last error
	for _, err := range client.GPUDroplets.Images.ListAutoPaging(t.Context(), gradient.GPUDropletImageListParams{}).All() {
		seen, last = seen+1, err
	}
	if seen != 2 {
		t.Errorf("%d pairs", seen)
	}
	wantError(t, last, 403, "forbidden")
}

// TestPathParameters: what would leave the path of the operation is escaped or refused, without a request.
func TestPathParameters(t *testing.T) {
	f := newFaulty(t, answer(200, `{}`), answer(200, `{}`))
	client := f.client()
	images := client.GPUDroplets.Images
	for slug, want := range map[string]string{"a/b?c#d%2F": "/v2/images/a%2Fb%3Fc%23d%252F", "ä b": "/v2/images/%C3%A4%20b"} {
		if _, err := images.Get(t.Context(), bySlug(slug)); err != nil {
			t.Fatal(err)
		}
		if r := f.Requests()[len(f.Requests())-1]; r.RequestURI != want {
			t.Errorf("%q became %s, want %s", slug, r.RequestURI, want)
		}
	}
	none := gradient.GPUDropletImageGetParamsImageIDUnion{}
	both := byID(1)
	both.OfString = gradient.String("x")
	for _, id := range []gradient.GPUDropletImageGetParamsImageIDUnion{none, both, byID(0), byID(-1), bySlug(""), bySlug("."), bySlug(".."), {OfInt: param.Null[int64]()}} {
		if _, err := images.Get(t.Context(), id); err == nil || !strings.Contains(err.Error(), "image_id") {
			t.Errorf("%+v: %v", id, err)
		}
	}
	if err := images.Delete(t.Context(), 0); err == nil {
		t.Error("image 0 was deleted")
	}
	if _, err := images.Update(t.Context(), 0, gradient.GPUDropletImageUpdateParams{}); err == nil {
		t.Error("image 0 was changed")
	}
	if _, err := images.Actions.Get(t.Context(), 1, 0); err == nil || !strings.Contains(err.Error(), "action_id") {
		t.Error(err)
	}
}

// TestBodies: what is sent for values, zero values, null and nothing.
func TestBodies(t *testing.T) {
	extra := gradient.GPUDropletImageUpdateParams{Name: gradient.String("a")}
	extra.SetExtraFields(map[string]any{"tags": nil, "name": 7})
	for want, params := range map[string]gradient.GPUDropletImageUpdateParams{
		`{}`:                        {},
		`{"description":""}`:        {Description: gradient.String("")},
		`{"description":null}`:      {Description: param.Null[string]()},
		`{"name":"a"}`:              {Name: gradient.String("a")},
		`{"distribution":"CentOS"}`: {Distribution: gradient.ImageDistributionCentOs},
		`{"name":7,"tags":null}`:    extra,
	} {
		f := newFaulty(t, answer(200, `{}`))
		client := f.client()
		if _, err := client.GPUDroplets.Images.Update(t.Context(), 1, params); err != nil {
			t.Fatal(err)
		}
		if f.Bodies()[0] != want || f.Requests()[0].Header.Get("Content-Type") != "application/json" {
			t.Errorf("sent %s, want %s", f.Bodies()[0], want)
		}
	}
}

// TestLenientDecoding: a service that changed one field takes no other away.
func TestLenientDecoding(t *testing.T) {
	const body = `{"image":{"id":7,"name":["not","text"],"slug":null,"min_disk_size":2.5,"status":"new one","shiny":{"a":1}},"more":true}`
	f := newFaulty(t, answer(200, body))
	client := f.client()
	got, err := client.GPUDroplets.Images.Get(t.Context(), byID(7))
	if err != nil {
		t.Fatal(err)
	}
	m := got.Image
	if m.ID != 7 || m.Name != "" || m.Status != "new one" || m.MinDiskSize != 0 {
		t.Errorf("%+v", m)
	}
	if m.JSON.Name.Valid() || m.JSON.Name.Raw() != `["not","text"]` || m.JSON.Slug.Raw() != "null" || m.JSON.Tags.Raw() != "" || !m.JSON.ID.Valid() {
		t.Errorf("%+v", m.JSON)
	}
	if m.JSON.ExtraFields["shiny"].Raw() != `{"a":1}` || got.JSON.ExtraFields["more"].Raw() != "true" || got.RawJSON() != body {
		t.Errorf("%+v %s", m.JSON.ExtraFields, got.RawJSON())
	}
}

func TestActions(t *testing.T) {
	const action = `{"id":36,"status":"in-progress","type":"transfer","started_at":"2014-11-14T16:42:45Z","completed_at":null,
		"resource_id":7,"resource_type":"image","region":{"name":"New York 3","slug":"nyc3","features":[],"available":true,"sizes":[]},"region_slug":"nyc3"}`
	list := `{"actions":[` + action + `],"links":{},"meta":{"total":1}}`
	f := newFaulty(t, answer(201, `{"action":`+action+`}`), answer(201, action), answer(200, `{"action":`+action+`}`), answer(200, list), answer(200, list))
	client := f.client()
	actions := client.GPUDroplets.Images.Actions
	transfer := gradient.GPUDropletImageActionNewParams{
		OfImageActionTransfer: &gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{Region: gradient.RegionSlugNyc3},
	}
	convert := gradient.GPUDropletImageActionNewParams{
		OfImageActionBase: &gradient.GPUDropletImageActionNewParamsBodyImageActionBase{Type: gradient.GPUDropletImageActionNewParamsTypeConvert},
	}
	check := func(a *gradient.Action, err error) {
		t.Helper()
		if err != nil || a.ID != 36 || a.Status != gradient.ActionStatusInProgress || a.Region.Slug != "nyc3" || !a.CompletedAt.IsZero() || a.StartedAt.IsZero() {
			t.Errorf("%+v, %v", a, err)
		}
	}
	check(actions.New(t.Context(), 7, transfer))
	check(actions.New(t.Context(), 7, convert))
	check(actions.Get(t.Context(), 7, 36))
	page, err := actions.List(t.Context(), 7)
	if err != nil || len(page.Actions) != 1 || page.Meta.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	for a, err := range actions.ListAutoPaging(t.Context(), 7).All() {
		check(&a, err)
	}
	var sent []string
	for i, r := range f.Requests() {
		sent = append(sent, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+f.Bodies()[i]))
	}
	want := []string{
		`POST /v2/images/7/actions {"region":"nyc3","type":"transfer"}`,
		`POST /v2/images/7/actions {"type":"convert"}`,
		`GET /v2/images/7/actions/36`, `GET /v2/images/7/actions`, `GET /v2/images/7/actions`,
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Error(diff)
	}
	if _, err := actions.New(t.Context(), 7, gradient.GPUDropletImageActionNewParams{}); err == nil || !strings.Contains(err.Error(), "exactly one") {
		t.Errorf("an action of no kind: %v", err)
	}
}

func TestRealActions(t *testing.T) {
	s := newService(t)
	client := s.client()
	images := client.GPUDroplets.Images
	m, err := images.New(t.Context(), newImage)
	if err != nil {
		t.Fatal(err)
	}
	id := m.Image.ID
	transfer := gradient.GPUDropletImageActionNewParams{
		OfImageActionTransfer: &gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{Region: gradient.RegionSlugFra1},
	}
	_, err = images.Actions.New(t.Context(), id, transfer)
	wantError(t, err, 422, "unprocessable_entity") // it is not available yet
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	started, err := images.Actions.New(t.Context(), id, transfer)
	if err != nil || started.ResourceID != id || started.ResourceType != "image" || started.Region.Slug != "fra1" {
		t.Fatalf("%+v, %v", started, err)
	}
	got, err := images.Actions.Get(t.Context(), id, started.ID)
	if err != nil || got.ID != started.ID || got.Type != "transfer" {
		t.Errorf("%+v, %v", got, err)
	}
	page, err := images.Actions.List(t.Context(), id)
	if err != nil || len(page.Actions) != 1 || page.Actions[0].ID != started.ID || page.Meta.Total != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	_, err = images.Actions.Get(t.Context(), id, started.ID+1)
	wantError(t, err, 404, "not_found")
}

// TestNamesOfTheReference: what is written by DigitalOcean's reference compiles, and says the same.
func TestNamesOfTheReference(t *testing.T) {
	var (
		distribution gradient.GPUDropletImageNewParamsDistribution = gradient.GPUDropletImageNewParamsDistributionArchLinux
		region       gradient.GPUDropletImageNewParamsRegion       = gradient.GPUDropletImageNewParamsRegionAms1
		slug         string                                        = gradient.Action{}.RegionSlug
	)
	for want, body := range map[string]any{
		`{"distribution":"Arch Linux","region":"ams1"}`: gradient.GPUDropletImageNewParams{Distribution: distribution, Region: region},
		`{"distribution":"CentOS"}`: gradient.GPUDropletImageUpdateParams{
			Distribution: gradient.GPUDropletImageUpdateParamsDistributionCentOs,
		},
		`{"region":"syd1","type":"transfer"}`: gradient.GPUDropletImageActionNewParamsBodyImageActionTransfer{
			Region: gradient.GPUDropletImageActionNewParamsBodyImageActionTransferRegionSyd1,
			Type:   gradient.GPUDropletImageActionNewParamsTypeTransfer,
		},
	} {
		if got, err := json.Marshal(body); err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	if slug != (gradient.Region{}).Slug {
		t.Error(slug)
	}
}
