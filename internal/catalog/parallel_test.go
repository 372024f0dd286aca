package catalog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// inParallel runs fn n times at once.
func inParallel(n int, fn func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func testParallelCreates(t *testing.T, c *Catalog) {
	const quota = 20
	a := c.account(t, "a", image.Quota{Images: quota})
	key := image.IdempotencyKey{Key: "k"}
	same := map[int64]bool{}
	var mu sync.Mutex
	var made, refused atomic.Int64
	inParallel(16, func(n int) {
		m, err := c.CreateImage(t.Context(), a, request("same"), key)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		same[m.ID] = true
		mu.Unlock()
		for range 3 {
			_, err := c.CreateImage(t.Context(), a, request("x", "shared", fmt.Sprint("own", n)), image.IdempotencyKey{})
			switch {
			case err == nil:
				made.Add(1)
			case image.KindOf(err) == image.Invalid:
				refused.Add(1)
			default:
				t.Error(err)
			}
		}
	})
	if len(same) != 1 {
		t.Errorf("one key made the images %v", same)
	}
	if made.Load() != quota-1 || refused.Load() != 16*3-quota+1 {
		t.Errorf("made %d, refused %d", made.Load(), refused.Load())
	}
	c.wantHolding(t, a, change{images: quota, queued: quota})
}

func testParallelClaims(t *testing.T, c *Catalog) {
	accounts := []int64{c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{Imports: 3})}
	for n := range 20 {
		c.create(t, accounts[0], fmt.Sprint(n))
	}
	for n := range 3 {
		c.create(t, accounts[1], fmt.Sprint(n))
	}
	c.do(t, `UPDATE quota SET max_imports = 2 WHERE account_id = $1`, accounts[1])
	claims := make(chan image.Claim, 100)
	inParallel(8, func(n int) {
		for {
			claim, err := c.Claim(t.Context(), fmt.Sprint("w", n), lease)
			if err != nil {
				t.Error(err)
			}
			if claim == nil {
				return
			}
			claims <- *claim
		}
	})
	close(claims)
	seen := map[int64]bool{}
	count := map[int64]int{}
	for claim := range claims {
		if seen[claim.ImageID] {
			t.Errorf("image %d was given out twice", claim.ImageID)
		}
		seen[claim.ImageID] = true
		count[claim.AccountID]++
	}
	if count[accounts[0]] != 20 || count[accounts[1]] != 2 {
		t.Errorf("claims %v", count)
	}
	c.wantHolding(t, accounts[0], change{images: 20, running: 20})
	c.wantHolding(t, accounts[1], change{images: 3, running: 2, queued: 1})
}

// Everything that can end an import happens to it at once: one way wins, and the counts add up.
func testParallelEnds(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	for n := range 15 {
		m := c.create(t, a, fmt.Sprint(n), "t")
		claim := c.claim(t)
		w := written(claim.Lease, 10)
		c.begin(t, claim, w)
		ends := []func() error{
			func() error { return c.DeleteImage(ctx, a, m.ID) },
			func() error { return c.Publish(ctx, claim, image.Progress{}, w) },
			func() error { return c.Fail(ctx, claim, "c", "m") },
			func() error { return c.Report(ctx, claim, image.Progress{}) },
			func() error { return c.Retry(ctx, claim, time.Now().Add(time.Hour), refusal.New("c", "m")) },
			func() error {
				_, _, err := c.ListImages(ctx, a, image.Filter{Tag: "t"}, image.Page{Number: 1, Size: 200})
				return err
			},
		}
		inParallel(len(ends), func(n int) {
			if err := ends[n](); err != nil && !errors.Is(err, image.ErrLeaseLost) {
				t.Errorf("end %d: %v", n, err)
			}
		})
		if _, err := c.Image(ctx, a, m.ID); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("the deleted image: %v", err)
		}
	}
	c.wantHolding(t, a, change{})
}
