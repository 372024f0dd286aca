package ingot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

// TestLink reads an image by a link and nothing else.
func TestLink(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	link, err := s.client.Links.New(t.Context(), s.available(t), ingot.LinkNewParams{Format: ingot.FileFormatRaw, ExpiresIn: gradient.Int(600)})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(link.ExpiresAt); left < 5*time.Minute || left > 11*time.Minute || strings.Contains(link.URL, "token") {
		t.Errorf("%+v", link)
	}
	res, err := http.Get(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || !bytes.Equal(got, disk) {
		t.Errorf("%s, %d bytes, %v", res.Status, len(got), err)
	}
	var e *gradient.Error
	if _, err := s.client.Links.New(t.Context(), 99, ingot.LinkNewParams{}); !errors.As(err, &e) || e.StatusCode != 404 {
		t.Error(err)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	tags, id := s.client.Tags, s.create(t)
	for _, name := range []string{"night", "day", "Night"} {
		if tag, err := tags.New(t.Context(), name); err != nil || !strings.EqualFold(tag.Name, name) {
			t.Fatal(tag, err)
		}
	}
	if err := tags.TagImages(t.Context(), "night", []int64{id}); err != nil {
		t.Fatal(err)
	}
	if tag, err := tags.Get(t.Context(), "NIGHT"); err != nil || tag.Name != "night" || tag.Resources.Images.Count != 1 {
		t.Errorf("%+v, %v", tag, err)
	}
	if err := tags.UntagImages(t.Context(), "night", []int64{id}); err != nil {
		t.Error(err)
	}
	if err := tags.Delete(t.Context(), "day"); err != nil {
		t.Error(err)
	}
	var names []string
	for tag, err := range tags.ListAutoPaging(t.Context(), option.WithQuery("per_page", "1")).All() {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(tag.Name, tag.Resources.Count))
	}
	if diff := cmp.Diff([]string{"night0"}, names); diff != "" {
		t.Error(diff)
	}
	var e *gradient.Error
	if _, err := tags.New(t.Context(), "no blanks"); !errors.As(err, &e) || e.StatusCode != 400 || e.Message == "" {
		t.Error(err)
	}
	for _, err := range []error{tags.Delete(t.Context(), ""), tags.TagImages(t.Context(), "..", nil)} {
		if err == nil || !strings.Contains(err.Error(), "tag_name") {
			t.Error(err)
		}
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	count := 0
	for r, err := range s.client.Regions.ListAutoPaging(t.Context(), option.WithQuery("per_page", "4")).All() {
		if err != nil || r.Slug == "" || r.Name == "" || !r.Available {
			t.Fatalf("%+v, %v", r, err)
		}
		count++
	}
	if count != 15 {
		t.Errorf("%d regions", count)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	if a, err := s.client.Account.Get(t.Context()); err != nil || a.Email != "alice@example.com" || a.UUID == "" || a.Status != "active" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	for range 3 {
		s.available(t)
	}
	u, err := s.client.Usage.Get(t.Context(), option.WithQuery("per_page", "2"))
	if err != nil || u.Account.Images != 3 || u.Account.LogicalBytes != 3*(int64(len(disk))-1<<20) || len(u.Images) != 2 {
		t.Fatalf("%+v, %v", u, err)
	}
	var ids []int64
	var total ingot.StorageUsage
	for m, err := range s.client.Usage.ListAutoPaging(t.Context(), option.WithQuery("per_page", "2")).All() {
		if err != nil || m.Name != "disk" || m.StoredBytes == 0 || m.SharedBytes == 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		ids = append(ids, m.ImageID)
		total.LogicalBytes += m.LogicalBytes
		total.StoredBytes += m.StoredBytes
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, ids); diff != "" {
		t.Error(diff)
	}
	if total.LogicalBytes != u.Account.LogicalBytes || total.StoredBytes != u.Account.StoredBytes {
		t.Errorf("images add up to %+v, the account has %+v", total, u.Account)
	}
}

// TestManifest reads what the real store writes.
func TestManifest(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	id := s.available(t)
	var data []byte
	raw := gradient.NewClient(s.client.Options...)
	if err := raw.Get(t.Context(), fmt.Sprintf("v2/images/%d/manifest", id), nil, &data); err != nil {
		t.Fatal(err)
	}
	m, err := s.client.Manifests.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.client.Imports.Get(t.Context(), id)
	if err != nil || m.ContentDigest != p.ContentDigest || m.GuestSize != int64(len(disk)) || m.DataBytes != int64(len(disk))-1<<20 {
		t.Errorf("%d bytes, %d of data, %s, %v", m.GuestSize, m.DataBytes, m.ContentDigest, err)
	}
	rebuilt := make([]byte, m.GuestSize)
	for _, c := range m.Chunks {
		piece := disk[c.Offset : c.Offset+c.Length]
		if c.SHA256 != sum(piece) {
			t.Fatalf("the chunk at %d has another digest", c.Offset)
		}
		copy(rebuilt[c.Offset:], piece)
	}
	if !bytes.Equal(rebuilt, disk) {
		t.Error("chunks and holes are not the disk")
	}
	for _, at := range []int{0, 20, len(data) - 30, len(data) - 1} {
		broken := bytes.Clone(data)
		broken[at] ^= 1
		if _, err := ingot.ParseManifest(broken); err == nil && at != len(data)-30 {
			t.Errorf("byte %d was changed, and nothing noticed", at)
		}
	}
	if _, err := ingot.ParseManifest(data[:len(data)-1]); err == nil {
		t.Error("a manifest that was cut is none")
	}
	_, other := newFaulty(t, gradienttest.Answer(200, string(data), "ETag", `"another"`))
	if _, err := other.Manifests.Get(t.Context(), id); err == nil {
		t.Error("the manifest of another image was taken")
	}
}
