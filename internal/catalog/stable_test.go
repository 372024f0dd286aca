package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"ingot/internal/image"
)

// Whoever reads a list page by page meets every image that was there from beginning to end once and in order, whatever
// other accounts create and delete, and whatever this one creates meanwhile.
func testStablePages(t *testing.T, c *Catalog) {
	const there = 300
	a := c.account(t, "a", image.Quota{})
	c.fill(t, a, there)
	for n, f := range []image.Filter{{}, {Private: true}, {Tag: "tenth"}} {
		t.Run(fmt.Sprintf("%+v", f), func(t *testing.T) {
			want := c.walk(t, a, f)
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			var changes atomic.Int64
			for m := range 3 {
				other := c.account(t, fmt.Sprint("other ", n, m), image.Quota{})
				running.Go(func() { c.churn(ctx, t, other, &changes) })
			}
			running.Go(func() {
				for range 60 { // no more, or the end of the list runs away
					c.create(t, a, "new", "tenth")
					changes.Add(1)
				}
			})
			for passes := 0; (passes < 5 || changes.Load() < 50) && !t.Failed(); passes++ {
				if got := c.walk(t, a, f); len(got) < len(want) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
					t.Errorf("%d images, where %d were there throughout: %v", len(got), len(want), got)
				} else if diff := gocmp.Diff(want, got[:len(want)]); diff != "" {
					t.Error(diff)
				}
			}
			stop()
			running.Wait()
		})
	}
}

// walk reads a list to its end and returns the ids.
func (c *Catalog) walk(t *testing.T, account int64, f image.Filter) (ids []int64) {
	t.Helper()
	for number := 1; ; number++ {
		page, total, err := c.ListImages(t.Context(), account, f, image.Page{Number: number, Size: 7})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, idsOf(page, func(m image.Image) int64 { return m.ID })...)
		if total < int64(len(ids)) {
			t.Fatalf("a total of %d on page %d, after %d images", total, number, len(ids))
		}
		if len(page) < 7 {
			return ids
		}
	}
}

// churn creates and deletes images until it is told to stop.
func (c *Catalog) churn(ctx context.Context, t *testing.T, account int64, changes *atomic.Int64) {
	for ctx.Err() == nil && !t.Failed() {
		m := c.create(t, account, "x", "tenth")
		if err := c.DeleteImage(t.Context(), account, m.ID); err != nil {
			t.Error(err)
		}
		changes.Add(2)
	}
}
