package catalog

import (
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/image"
)

func TestTotals(t *testing.T) {
	var k totals
	now := time.Now()
	k.put(1, image.Usage{Images: 5}, slowTotal-1, now)
	if _, ok := k.get(1, now); ok {
		t.Error("what is quick is kept")
	}
	k.put(1, image.Usage{Images: 5}, time.Second, now)
	k.put(2, image.Usage{Images: 7}, time.Hour, now)
	for _, test := range []struct {
		account int64
		later   time.Duration
		kept    bool
	}{{1, 0, true}, {2, 0, true}, {3, 0, false}, {1, 20 * time.Second, true}, {1, 21 * time.Second, false}, {2, longestTotal, true}, {2, longestTotal + 1, false}} {
		if _, ok := k.get(test.account, now.Add(test.later)); ok != test.kept {
			t.Errorf("account %d after %v: %v", test.account, test.later, ok)
		}
	}
}

// A sum that is kept is served, with the number of images as it is now.
func TestUsageOfAKeptTotal(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	a := c.account(t, "a", image.Quota{})
	c.create(t, a, "x")
	c.totals.put(a, image.Usage{Images: 9, Logical: 10, Stored: 11, Shared: 12}, time.Hour, time.Now())
	total, images, err := c.Usage(t.Context(), a, image.Page{Number: 1, Size: 20})
	if want := (image.Usage{Images: 1, Logical: 10, Stored: 11, Shared: 12}); total != want || len(images) != 1 || err != nil {
		t.Errorf("%+v, %d images, %v", total, len(images), err)
	}
}
