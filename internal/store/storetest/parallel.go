package storetest

import (
	"slices"
	"sync"
	"testing"

	"ingot/internal/store"
)

// allAtOnce lets imports that share chunks begin, publish, fail and be deleted beside sweeps and settling. At the end every chunk of
// every image that is left must be in a pack that is live.
func allAtOnce(t *testing.T, d *Desk) {
	const workers, rounds = 4, 12
	var mu sync.Mutex
	images := map[int64][]store.Digest{}
	var wg, sweeps sync.WaitGroup
	done := make(chan struct{})
	sweeps.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				d.sweep(t)
				if p, err := d.ClaimUnsettled(t.Context(), false); err != nil {
					t.Error(err)
				} else if p != nil {
					d.settleTo(t, *p)
				}
			}
		}
	})
	for w := range workers {
		wg.Go(func() {
			for round := range rounds {
				seed := (w + round) % 5 * 60 // neighbours share half
				want := digests(seed, 120)
				o := d.Import()
				packs := d.write(t, o, want)
				if round%4 == 3 {
					d.Fail(o)
					continue
				}
				image, _ := d.publish(t, o, 1_000_000+seed, packs)
				mu.Lock()
				images[image] = want
				var victim int64
				for id := range images {
					if round%2 == 0 {
						victim = id
					}
				}
				delete(images, victim)
				mu.Unlock()
				if victim != 0 {
					d.Delete(victim)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	sweeps.Wait()
	dead := d.sweep(t)
	for id, want := range images {
		found, err := d.Locate(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			if found[i].Pack == "" || slices.Contains(dead, found[i].Pack) {
				t.Fatalf("image %d: chunk %d is in %q", id, i, found[i].Pack)
			}
		}
		d.Delete(id)
	}
	d.sweep(t)
	if left, err := d.Kept(t.Context(), 0, 10); err != nil || len(left) != 0 {
		t.Errorf("after everything was deleted there are %+v, %v", left, err)
	}
}

// write does what a store's Write does with the index, and returns the packs relied on.
func (d *Desk) write(t testing.TB, o store.Owner, want []store.Digest) map[string]int64 {
	t.Helper()
	packs := map[string]int64{}
	found, err := d.Find(t.Context(), o, want)
	if err != nil {
		t.Fatal(err)
	}
	var fresh []store.Digest
	for i := range found {
		if found[i].Pack == "" {
			fresh = append(fresh, want[i])
			continue
		}
		packs[found[i].Pack] += int64(found[i].Stored)
	}
	if len(fresh) > 0 {
		_, valid := d.pack(t, o, fresh)
		for _, l := range valid {
			packs[l.Pack] += int64(l.Stored)
		}
	}
	return packs
}
