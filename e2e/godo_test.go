package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	"github.com/google/go-cmp/cmp"
)

// godoClient is DigitalOcean's own Go client, with nothing changed but the address and the token.
func (s *service) godoClient(token string) *godo.Client {
	s.t.Helper()
	client := godo.NewFromToken(token) // as docs/clients.md has it
	if err := godo.SetBaseURL(s.URL)(client); err != nil {
		s.t.Fatal(err)
	}
	return client
}

// status is what an error of godo says.
func status(err error) (code int, message string) {
	var e *godo.ErrorResponse
	if !errors.As(err, &e) {
		return 0, fmt.Sprint(err)
	}
	return e.Response.StatusCode, e.Message
}

func TestGodo(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"a.raw": rawDisk(1<<20, 1), "b.raw": rawDisk(1<<20, 2)})
	s := start(t, filepath.Join(t.TempDir(), "data"), "--allow-source", o.allow())
	ingot(t, "publish", "--data", s.data, "--url", o.URL+"/a.raw", "--slug", "ubuntu-24-04-x64", "--kind", "distribution", "--distribution", "Ubuntu")
	ingot(t, "publish", "--data", s.data, "--url", o.URL+"/b.raw", "--slug", "wordpress", "--kind", "application", "--type", "snapshot")
	ingot(t, "account", "create", "--data", s.data, "--email", "team@example.com", "team")
	token := strings.TrimSpace(ingot(t, "token", "create", "--data", s.data, "--account", "team"))
	c := s.godoClient(token)

	t.Run("images", func(t *testing.T) { godoImages(t, s, c, o) })
	t.Run("lists", func(t *testing.T) { godoLists(t, c) })
	t.Run("actions", func(t *testing.T) { godoActions(t, s, c, o) })
	t.Run("tags", func(t *testing.T) { godoTags(t, c, o) })
	t.Run("account transfer", func(t *testing.T) { godoAccountTransfer(t, s, c, o) })
	t.Run("account and regions", func(t *testing.T) {
		account, resp, err := c.Account.Get(t.Context())
		if err != nil || account.Email != "team@example.com" || account.Status != "active" || account.Team.Name != "team" || len(account.UUID) != 36 {
			t.Errorf("%+v %v", account, err)
		}
		if resp.Rate.Limit != 5000 || resp.Rate.Remaining != 5000 {
			t.Errorf("rate %+v", resp.Rate)
		}
		regions, _, err := c.Regions.List(t.Context(), &godo.ListOptions{PerPage: 200})
		if err != nil || len(regions) != 15 || !regions[0].Available || regions[0].Slug != "ams1" || len(regions[0].Features) == 0 {
			t.Errorf("%+v %v", regions, err)
		}
	})
	t.Run("unknown token", func(t *testing.T) {
		_, _, err := s.godoClient("nonsense").Account.Get(t.Context())
		if code, message := status(err); code != http.StatusUnauthorized || message != "Unable to authenticate you." {
			t.Errorf("%d %s", code, message)
		}
	})
}

// imported waits until an import has ended well, as a client does.
func imported(t *testing.T, c *godo.Client, id int) *godo.Image {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		m, _, err := c.Images.GetByID(t.Context(), id)
		if err != nil || m.ErrorMessage != "" {
			t.Fatalf("image %d: %+v %v", id, m, err)
		}
		if m.Status == "available" {
			return m
		}
	}
	t.Fatalf("image %d does not become available", id)
	return nil
}

func godoImages(t *testing.T, s *service, c *godo.Client, o *origin) {
	ctx := t.Context()
	m, resp, err := c.Images.Create(ctx, &godo.CustomImageCreateRequest{
		Name: "mine", Url: o.URL + "/a.raw", Region: "nyc3", Distribution: "Unkown", Description: "about", Tags: []string{"one", "Two"},
	})
	if err != nil || resp.StatusCode != http.StatusAccepted || m.Status != "NEW" || m.Distribution != "Unknown" {
		t.Fatalf("%+v %v", m, err)
	}
	got := imported(t, c, m.ID)
	want := &godo.Image{
		ID: m.ID, Name: "mine", Type: "custom", Distribution: "Unknown", Regions: []string{"nyc3"}, MinDiskSize: 1,
		Created: m.Created, Description: "about", Tags: []string{"Two", "one"}, Status: "available",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, _, err = c.Images.Update(ctx, m.ID, &godo.ImageUpdateRequest{Name: "renamed", Distribution: "Debian", Description: "other"})
	want.Name, want.Distribution, want.Description = "renamed", "Debian", "other"
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	public, _, err := c.Images.GetBySlug(ctx, "ubuntu-24-04-x64")
	if err != nil || !public.Public || public.Type != "base" || public.Distribution != "Ubuntu" || len(public.Regions) != 15 {
		t.Errorf("%+v %v", public, err)
	}
	if _, err := c.Images.Delete(ctx, public.ID); err == nil {
		t.Error("another account's public image could be deleted")
	} else if code, _ := status(err); code != http.StatusForbidden {
		t.Error(err)
	}
	if _, err := c.Images.Delete(ctx, m.ID); err != nil {
		t.Error(err)
	}
	_, err = c.Images.Delete(ctx, m.ID)
	if code, message := status(err); code != http.StatusUnprocessableEntity || message != "Image Can not delete an already deleted image." {
		t.Errorf("%d %s", code, message)
	}
	_, _, err = c.Images.GetByID(ctx, m.ID)
	if code, _ := status(err); code != http.StatusNotFound {
		t.Error(err)
	}

	failed, _, err := c.Images.Create(ctx, &godo.CustomImageCreateRequest{Name: "bad", Url: o.URL + "/none.raw", Region: "nyc3"})
	if err != nil {
		t.Fatal(err)
	}
	s.Eventually("the import of nothing fails", func() bool {
		failed, _, err = c.Images.GetByID(ctx, failed.ID)
		return err != nil || failed.Status == "deleted"
	})
	if err != nil || !strings.Contains(failed.ErrorMessage, "404") {
		t.Errorf("%+v %v", failed, err)
	}
}

func godoLists(t *testing.T, c *godo.Client) {
	ctx := t.Context()
	for i := range 5 {
		_, _, err := c.Images.Create(ctx, &godo.CustomImageCreateRequest{
			Name: fmt.Sprint("list ", i), Url: "https://images.example.com/none", Region: "fra1", Tags: []string{fmt.Sprint("parity:", i%2)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	type lister func(context.Context, *godo.ListOptions) ([]godo.Image, *godo.Response, error)
	// Imports of what is not there end at any time, and then stand in no list: only what is public is counted.
	for name, l := range map[string]struct {
		list lister
		want []string
	}{
		"all":           {c.Images.List, []string{"ubuntu-24-04-x64", "wordpress"}},
		"distributions": {c.Images.ListDistribution, []string{"ubuntu-24-04-x64"}},
		"applications":  {c.Images.ListApplication, []string{"wordpress"}},
		"user":          {c.Images.ListUser, nil},
	} {
		var public []string
		for page := 1; ; page++ {
			images, resp, err := l.list(ctx, &godo.ListOptions{Page: page, PerPage: 2})
			if err != nil {
				t.Fatal(name, err)
			}
			for _, m := range images {
				if m.Public {
					public = append(public, m.Slug)
				}
			}
			if resp.Meta == nil || resp.Links.IsLastPage() {
				break
			}
			if current, err := resp.Links.CurrentPage(); err != nil || current != page {
				t.Fatalf("%s: page %d, %v", name, current, err)
			}
		}
		if diff := cmp.Diff(l.want, public); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if images, resp, err := c.Images.ListByTag(ctx, "nothing", nil); len(images) != 0 || resp.Meta.Total != 0 || err != nil {
		t.Errorf("%+v %v", images, err)
	}
}

func godoActions(t *testing.T, s *service, c *godo.Client, o *origin) {
	ctx := t.Context()
	id, err := strconv.Atoi(strings.TrimSpace(ingot(t, "image", "create", "--data", s.data, "--account", "team", "--type", "backup", "--name", "nightly", "--url", o.URL+"/a.raw", "--region", "nyc3")))
	if err != nil {
		t.Fatal(err)
	}
	transfer, resp, err := c.ImageActions.Transfer(ctx, id, &godo.ActionRequest{"type": "transfer", "region": "fra1"})
	if err != nil || resp.StatusCode != http.StatusCreated || transfer.Status != godo.ActionCompleted || transfer.Region.Slug != "fra1" ||
		transfer.RegionSlug != "fra1" || transfer.CompletedAt == nil || transfer.ResourceID != id || transfer.ResourceType != "image" {
		t.Fatalf("%+v %v", transfer, err)
	}
	convert, _, err := c.ImageActions.Convert(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := c.Images.GetByID(ctx, id)
	if err != nil || m.Type != "snapshot" || !slices.Equal(m.Regions, []string{"fra1", "nyc3"}) {
		t.Errorf("%+v %v", m, err)
	}
	for _, again := range []func() (*godo.Action, *godo.Response, error){
		func() (*godo.Action, *godo.Response, error) {
			return c.ImageActions.Transfer(ctx, id, &godo.ActionRequest{"type": "transfer", "region": "fra1"})
		},
		func() (*godo.Action, *godo.Response, error) { return c.ImageActions.Convert(ctx, id) },
	} {
		_, _, err := again()
		if code, _ := status(err); code != http.StatusUnprocessableEntity {
			t.Errorf("a second time: %v", err)
		}
	}
	byImage, _, err := c.ImageActions.Get(ctx, id, transfer.ID)
	if diff := cmp.Diff(transfer, byImage); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	byURI, _, err := c.ImageActions.GetByURI(ctx, fmt.Sprintf("%s/v2/images/%d/actions/%d", s.URL, id, convert.ID))
	if diff := cmp.Diff(convert, byURI); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	byID, _, err := c.Actions.Get(ctx, convert.ID)
	if diff := cmp.Diff(convert, byID); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	all, resp, err := c.Actions.List(ctx, &godo.ListOptions{PerPage: 1})
	if diff := cmp.Diff([]godo.Action{*convert}, all); diff != "" || err != nil || resp.Meta.Total != 2 || resp.Links.IsLastPage() {
		t.Errorf("%v\n%s", err, diff)
	}
	// godo has no method for the actions of one image.
	var ofImage struct{ Actions []godo.Action }
	req, err := c.NewRequest(ctx, http.MethodGet, fmt.Sprintf("v2/images/%d/actions", id), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(ctx, req, &ofImage); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]godo.Action{*convert, *transfer}, ofImage.Actions); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Images.Delete(ctx, id); err != nil {
		t.Error(err)
	}
}

func godoTags(t *testing.T, c *godo.Client, o *origin) {
	ctx := t.Context()
	m, _, err := c.Images.Create(ctx, &godo.CustomImageCreateRequest{Name: "tagged", Url: o.URL + "/b.raw", Region: "nyc3"})
	if err != nil {
		t.Fatal(err)
	}
	imported(t, c, m.ID)
	tag, _, err := c.Tags.Create(ctx, &godo.TagCreateRequest{Name: "Env:prod"})
	if err != nil || tag.Name != "Env:prod" || tag.Resources.Count != 0 || tag.Resources.Databases == nil || tag.Resources.Droplets == nil {
		t.Fatalf("%+v %v", tag, err)
	}
	resource := []godo.Resource{{ID: strconv.Itoa(m.ID), Type: godo.ImageResourceType}}
	if _, err := c.Tags.TagResources(ctx, "env:prod", &godo.TagResourcesRequest{Resources: resource}); err != nil {
		t.Fatal(err)
	}
	if tag, _, err = c.Tags.Get(ctx, "ENV:PROD"); err != nil || tag.Name != "Env:prod" || tag.Resources.Images.Count != 1 {
		t.Errorf("%+v %v", tag, err)
	}
	images, _, err := c.Images.ListByTag(ctx, "env:prod", nil)
	if err != nil || len(images) != 1 || images[0].ID != m.ID || !slices.Equal(images[0].Tags, []string{"Env:prod"}) {
		t.Errorf("%+v %v", images, err)
	}
	names := map[string]bool{}
	for page := 1; ; page++ {
		tags, resp, err := c.Tags.List(ctx, &godo.ListOptions{Page: page, PerPage: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			names[tag.Name] = true
		}
		if resp.Links.IsLastPage() {
			break
		}
	}
	if diff := cmp.Diff(map[string]bool{"Env:prod": true, "one": true, "Two": true, "parity:0": true, "parity:1": true}, names); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Tags.UntagResources(ctx, "env:prod", &godo.UntagResourcesRequest{Resources: resource}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := c.Images.GetByID(ctx, m.ID); err != nil || len(got.Tags) != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := c.Tags.Delete(ctx, "env:prod"); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Tags.Get(ctx, "env:prod")
	if code, _ := status(err); code != http.StatusNotFound {
		t.Error(err)
	}
	_, _, err = c.Tags.Create(ctx, &godo.TagCreateRequest{Name: "no spaces"})
	if code, _ := status(err); code != http.StatusBadRequest {
		t.Error(err)
	}
}

// godoAccountTransfer sends what godo has no method for, by its own requests.
func godoAccountTransfer(t *testing.T, s *service, c *godo.Client, o *origin) {
	ctx := t.Context()
	out := ingot(t, "image", "create", "--data", s.data, "--account", "team", "--type", "snapshot", "--name", "moves", "--url", o.URL+"/a.raw")
	id, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	recipient := s.godoClient(s.Token)
	account, _, err := recipient.Account.Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	post := func(by *godo.Client, path string, body, into any) int {
		t.Helper()
		req, err := by.NewRequest(ctx, http.MethodPost, fmt.Sprintf("v2/images/%d/account_transfer%s", id, path), body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := by.Do(ctx, req, into)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	var offer struct {
		TransferID int `json:"transfer_id"`
	}
	if code := post(c, "", map[string]string{"recipient_email": account.Email}, &offer); code != http.StatusCreated || offer.TransferID == 0 {
		t.Fatalf("%d %+v", code, offer)
	}
	if code := post(c, "/cancel", map[string]int{"transfer_id": offer.TransferID}, nil); code != http.StatusNoContent {
		t.Errorf("cancel: %d", code)
	}
	post(c, "", map[string]string{"recipient_uuid": account.UUID}, &offer)
	if code := post(recipient, "/decline", map[string]int{"transfer_id": offer.TransferID}, nil); code != http.StatusNoContent {
		t.Errorf("decline: %d", code)
	}
	post(c, "", map[string]string{"recipient_uuid": account.UUID}, &offer)
	if code := post(recipient, "/accept", map[string]any{"transfer_id": offer.TransferID, "recipient_uuid": account.UUID}, nil); code != http.StatusCreated {
		t.Errorf("accept: %d", code)
	}
	if m, _, err := recipient.Images.GetByID(ctx, id); err != nil || m.Name != "moves" {
		t.Errorf("%+v %v", m, err)
	}
	if _, _, err := c.Images.GetByID(ctx, id); err == nil {
		t.Error("the sender still sees it")
	}
}
