package catalog

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

func testTagged(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	x, y := c.available(t, a, "x", "Prod"), c.create(t, a, "y", "one")
	tag, err := c.CreateTag(ctx, a, "PROD")
	if diff := cmp.Diff(image.Tag{Name: "Prod", Images: 1}, tag); diff != "" || err != nil {
		t.Errorf("an existing tag: %v\n%s", err, diff)
	}
	if _, err := c.CreateTag(ctx, a, "empty"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.TagImages(ctx, a, "prod", []int64{x.ID, y.ID, y.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"Prod", "one"}, c.image(t, a, y.ID).Tags); diff != "" {
		t.Error(diff)
	}
	wantTags := func(account int64, want ...image.Tag) {
		t.Helper()
		got, total, err := c.ListTags(ctx, account, image.Page{Number: 1, Size: 10})
		if diff := cmp.Diff(want, got); diff != "" || total != int64(len(want)) || err != nil {
			t.Errorf("tags: %d, %v\n%s", total, err, diff)
		}
	}
	wantTags(a, image.Tag{Name: "empty"}, image.Tag{Name: "one", Images: 1}, image.Tag{Name: "Prod", Images: 2})
	wantTags(b)
	if page, total, err := c.ListTags(ctx, a, image.Page{Number: 2, Size: 2}); len(page) != 1 || page[0].Name != "Prod" || total != 3 || err != nil {
		t.Errorf("the second page: %+v, %d, %v", page, total, err)
	}

	wantErr(t, "an unknown tag", c.TagImages(ctx, a, "nothing", []int64{x.ID}), image.ErrNotFound)
	wantErr(t, "one unknown image", c.TagImages(ctx, a, "empty", []int64{x.ID, 4711}), image.ErrNotFound)
	wantErr(t, "another's tag", c.UntagImages(ctx, b, "Prod", []int64{x.ID}), image.ErrNotFound)
	_, err = c.Tag(ctx, b, "Prod")
	wantErr(t, "another's tag", err, image.ErrNotFound)
	if tag, err := c.Tag(ctx, a, "Empty"); tag.Images != 0 || err != nil {
		t.Errorf("after a refusal %+v, %v", tag, err)
	}

	if err := c.UntagImages(ctx, a, "one", []int64{x.ID, y.ID}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Prod"}, c.image(t, a, y.ID).Tags); diff != "" {
		t.Error(diff)
	}
	wantErr(t, "another deletes it", c.DeleteTag(ctx, b, "prod"), image.ErrNotFound)
	if err := c.DeleteTag(ctx, a, "prod"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a second time", c.DeleteTag(ctx, a, "prod"), image.ErrNotFound)
	if diff := cmp.Diff([]string{}, c.image(t, a, x.ID).Tags); diff != "" {
		t.Error(diff)
	}
	wantTags(a, image.Tag{Name: "empty"}, image.Tag{Name: "one"})
	c.wantHolding(t, a, change{images: 2, bytes: 1000, queued: 1})
}

// testTagOfMany deletes a tag of more images than one transaction takes.
func testTagOfMany(t *testing.T, c *Catalog) {
	a := c.account(t, "a", image.Quota{})
	const many = untagAtOnce + 3
	for i := range many {
		c.create(t, a, fmt.Sprint(i), "all")
	}
	if tag, err := c.Tag(t.Context(), a, "all"); tag.Images != many || err != nil {
		t.Fatalf("%+v, %v", tag, err)
	}
	if err := c.DeleteTag(t.Context(), a, "all"); err != nil {
		t.Fatal(err)
	}
	for _, number := range []int{1, many} {
		page, total, err := c.ListImages(t.Context(), a, image.Filter{}, image.Page{Number: number, Size: 1})
		if err != nil || total != many || len(page) != 1 || len(page[0].Tags) != 0 {
			t.Errorf("image %d: %+v of %d, %v", number, page, total, err)
		}
	}
	c.wantHolding(t, a, change{images: many, queued: many})
}
