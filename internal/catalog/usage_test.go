package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
	"ingot/internal/store"
)

// keep imports an image whose content is named by a seed and needs some bytes of packs; those that are new are written
// with the size given.
func (c *Catalog) keep(t *testing.T, account int64, seed string, needs, sizes map[string]int64) int64 {
	t.Helper()
	m := c.create(t, account, seed)
	claim := c.claim(t)
	owner := store.Owner{Import: m.ID, Lease: claim.Lease}
	var storeID int64
	if err := c.writer.QueryRowContext(t.Context(), `SELECT store_id FROM region WHERE slug = $1`, claim.Region).Scan(&storeID); err != nil {
		t.Fatal(err)
	}
	index := c.Index(storeID)
	for name := range needs {
		digest := store.Digest{byte(len(name)), name[0]}
		if size, isNew := sizes[name]; isNew {
			if err := index.Begin(t.Context(), owner, store.KindPack, name); err != nil {
				t.Fatal(err)
			}
			entry := store.Entry{Digest: digest, Location: store.Location{Pack: name, Offset: 16, Stored: 1, Length: 1}}
			if _, err := index.Add(t.Context(), owner, name, size, []store.Entry{entry}); err != nil {
				t.Fatal(err)
			}
		} else if found, err := index.Find(t.Context(), owner, []store.Digest{digest}); err != nil || found[0].Pack != name {
			t.Fatalf("pack %s: %v %v", name, found, err)
		}
	}
	w := written(seed, 1000)
	w.Object, w.Packs, w.Size = "manifest-"+claim.Lease, needs, 10
	c.begin(t, claim, w)
	if err := c.Publish(t.Context(), claim, image.Progress{}, w); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

func testUsage(t *testing.T, c *Catalog) {
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	one := c.keep(t, a, "one", map[string]int64{"p": 100, "q": 50}, map[string]int64{"p": 1001, "q": 60})
	two := c.keep(t, b, "two", map[string]int64{"p": 300}, nil)
	again := c.keep(t, a, "one", map[string]int64{"p": 100, "q": 50}, nil)
	c.create(t, b, "being imported")

	// p: 1001 bytes for 100, 300 and 100 of 500; q: 60 for 50 and 50; a manifest of 10 for each content.
	total, images, err := c.Usage(t.Context(), a, image.Page{Number: 1, Size: 20})
	if err != nil {
		t.Fatal(err)
	}
	want := []image.ImageUsage{
		{ID: one, Name: "one", Usage: image.Usage{Images: 1, Logical: 1000, Stored: 200 + 30 + 5, Shared: 20 + 5}},
		{ID: again, Name: "one", Usage: image.Usage{Images: 1, Logical: 1000, Stored: 200 + 30 + 5, Shared: 20 + 5}},
	}
	if diff := cmp.Diff(want, images); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(image.Usage{Images: 2, Logical: 2000, Stored: 470, Shared: 50}, total); diff != "" {
		t.Error(diff)
	}
	total, images, err = c.Usage(t.Context(), a, image.Page{Number: 2, Size: 1})
	if diff := cmp.Diff(want[1:], images); diff != "" || total.Images != 2 || err != nil {
		t.Errorf("the second page: %+v, %v\n%s", total, err, diff)
	}
	if _, images, err = c.Usage(t.Context(), a, image.Page{Number: 3, Size: 1}); len(images) != 0 || err != nil {
		t.Errorf("past the last page: %v %v", images, err)
	}
	accounts, other, err := c.UsageByAccount(t.Context())
	wantAccounts := []image.AccountUsage{
		{Name: "a", Usage: image.Usage{Images: 2, Logical: 2000, Stored: 470, Shared: 50}},
		{Name: "b", Usage: image.Usage{Images: 2, Logical: 1000, Stored: 601 + 10}},
	}
	if diff := cmp.Diff(wantAccounts, accounts); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if other != 10 { // the second manifest of one content, dead
		t.Errorf("%d bytes for no image", other)
	}
	if err := c.DeleteImage(t.Context(), b, two); err != nil {
		t.Fatal(err)
	}
	total, _, err = c.Usage(t.Context(), a, image.Page{Number: 1, Size: 20})
	if diff := cmp.Diff(image.Usage{Images: 2, Logical: 2000, Stored: 1001 + 60 + 10, Shared: 2 * (20 + 5)}, total); diff != "" || err != nil {
		t.Errorf("the others pay for what is left: %v\n%s", err, diff)
	}
}
