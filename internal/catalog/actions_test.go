package catalog

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

func testActions(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	m := c.available(t, a, "x")
	waiting := c.create(t, a, "y")

	act, err := c.Act(ctx, a, m.ID, image.Act{Type: image.Transfer, Region: "fra1"})
	if err != nil {
		t.Fatal(err)
	}
	if act.Type != image.Transfer || act.Status != image.Completed || act.Region != "fra1" || act.CompletedAt.IsZero() || act.ImageID != m.ID {
		t.Errorf("action %+v", act)
	}
	if diff := cmp.Diff([]string{"fra1", "nyc3"}, c.image(t, a, m.ID).Regions); diff != "" {
		t.Error(diff)
	}
	for _, test := range []struct {
		what string
		id   int64
		act  image.Act
		text string
	}{
		{"a region that it has", m.ID, image.Act{Type: image.Transfer, Region: "fra1"}, "already"},
		{"an unknown region", m.ID, image.Act{Type: image.Transfer, Region: "mars"}, "region"},
		{"an image that waits", waiting.ID, image.Act{Type: image.Transfer, Region: "fra1"}, "NEW"},
		{"no backup", m.ID, image.Act{Type: image.Convert}, "backup"},
	} {
		_, err := c.Act(ctx, a, test.id, test.act)
		wantInvalid(t, test.what, err, test.text)
	}
	_, err = c.Act(ctx, b, m.ID, image.Act{Type: image.Convert})
	wantErr(t, "another's image", err, image.ErrNotFound)

	got, err := c.Action(ctx, a, act.ID)
	if diff := cmp.Diff(act, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	_, err = c.Action(ctx, b, act.ID)
	wantErr(t, "another's action", err, image.ErrNotFound)
	_, _, err = c.ImageActions(ctx, b, m.ID, image.Page{Number: 1, Size: 10})
	wantErr(t, "another's actions", err, image.ErrNotFound)
	if _, total, err := c.Actions(ctx, b, image.Page{Number: 1, Size: 10}); total != 0 || err != nil {
		t.Errorf("b has %d actions, %v", total, err)
	}
	// The content is shared by both regions and goes with the image.
	if err := c.DeleteImage(ctx, a, m.ID); err != nil {
		t.Fatal(err)
	}
	_, err = c.Act(ctx, a, m.ID, image.Act{Type: image.Convert})
	wantErr(t, "a deleted image", err, image.ErrNotFound)
}

func testActionPages(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	var all []int64
	for i := range 7 {
		in := request(fmt.Sprint(i))
		in.Type = image.Backup
		m, err := c.CreateImage(ctx, a, in, image.IdempotencyKey{})
		if err != nil {
			t.Fatal(err)
		}
		c.publish(t, c.claim(t), 10)
		act, err := c.Act(ctx, a, m.ID, image.Act{Type: image.Convert})
		if err != nil || act.Region != "nyc3" {
			t.Fatalf("%+v, %v", act, err)
		}
		if got := c.image(t, a, m.ID); got.Type != image.Snapshot {
			t.Errorf("after a conversion the type is %s", got.Type)
		}
		all = append([]int64{act.ID}, all...)
		one, total, err := c.ImageActions(ctx, a, m.ID, image.Page{Number: 1, Size: 5})
		if diff := cmp.Diff([]image.Action{act}, one); diff != "" || total != 1 || err != nil {
			t.Errorf("%d, %v\n%s", total, err, diff)
		}
	}
	for number, want := range map[int][]int64{1: all[:3], 2: all[3:6], 3: all[6:], 4: {}} {
		page, total, err := c.Actions(ctx, a, image.Page{Number: number, Size: 3})
		got := idsOf(page, func(a image.Action) int64 { return a.ID })
		if diff := cmp.Diff(want, got); diff != "" || total != 7 || err != nil {
			t.Errorf("page %d: total %d, %v\n%s", number, total, err, diff)
		}
	}
}
