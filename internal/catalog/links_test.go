package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

func testLinkKeys(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	m, other := c.available(t, a, "one"), c.available(t, a, "two")
	waiting := c.create(t, a, "three")
	_, err := c.LinkKey(ctx, m.ID)
	wantErr(t, "before the first link", err, image.ErrNotFound)
	_, err = c.MakeLinkKey(ctx, b, m.ID)
	wantErr(t, "another account", err, image.ErrNotFound)
	_, err = c.MakeLinkKey(ctx, a, waiting.ID)
	wantInvalid(t, "an image without content", err, "no content")
	made, err := c.MakeLinkKey(ctx, a, m.ID)
	if err != nil || made.Owner != a || len(made.Key) != 32 {
		t.Fatalf("%+v %v", made, err)
	}
	for name, find := range map[string]func() (image.LinkKey, error){
		"made again": func() (image.LinkKey, error) { return c.MakeLinkKey(ctx, a, m.ID) },
		"found":      func() (image.LinkKey, error) { return c.LinkKey(ctx, m.ID) },
	} {
		got, err := find()
		if diff := cmp.Diff(made, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if second, err := c.MakeLinkKey(ctx, a, other.ID); err != nil || cmp.Equal(made.Key, second.Key) {
		t.Errorf("two images have one key: %v", err)
	}
	if err := c.DeleteImage(ctx, a, m.ID); err != nil {
		t.Fatal(err)
	}
	_, err = c.LinkKey(ctx, m.ID)
	wantErr(t, "a deleted image", err, image.ErrNotFound)
	_, err = c.MakeLinkKey(ctx, a, m.ID)
	wantErr(t, "a deleted image", err, image.ErrNotFound)
}
