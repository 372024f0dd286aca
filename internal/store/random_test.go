package store_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// testTime is how long a random test goes on: INGOT_TEST_TIME, or longer in CI than at home.
func testTime(t testing.TB) time.Duration {
	t.Helper()
	if text := os.Getenv("INGOT_TEST_TIME"); text != "" {
		return must(time.ParseDuration(text))(t)
	}
	if os.Getenv("CI") == "true" {
		return 45 * time.Second
	}
	return 12 * time.Second
}

// Several processes of one database and folder, as far as a catalogue and a store of its own each make a process,
// import, fail, lose leases, delete, sweep, rewrite, check and repair, all at once. At the end every available image
// comes back byte for byte, a check finds nothing, and when all is deleted nothing is left.
func TestRandomTown(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		randomTown(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	})
	t.Run("PostgreSQL", func(t *testing.T) { randomTown(t, pgtest.Start(t).Database(t)) })
}

const townSeed = 20261124

func randomTown(t *testing.T, database string) {
	t.Logf("seed %d", townSeed)
	folder := t.TempDir()
	main := openHouse(t, database, folder, nil)
	town := &randomly{t: t, disks: disks(12, townSeed), images: map[int64]int{}}
	until, stop := context.WithCancel(t.Context())
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { town.end(stop) })
	for i := range uint64(3) {
		h := openHouse(t, database, folder, nil)
		for j := range uint64(2) {
			work.Go(func() { town.work(until, h, rand.New(rand.NewPCG(townSeed, 10*i+j))) })
		}
		work.Go(func() { town.sweep(until, h) })
	}
	work.Go(func() { town.repair(until, main, rand.New(rand.NewPCG(townSeed, 98))) })
	work.Go(func() { town.lapse(until, main, rand.New(rand.NewPCG(townSeed, 99))) })
	work.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%+v", town.did)
	main.sweep()
	main.wantSound()
	for id, n := range town.images {
		if got, err := main.content(id); err != nil || !bytes.Equal(got, town.disks[n]) {
			t.Errorf("image %d of disk %d: %v", id, n, err)
		}
		main.delete(id)
	}
	main.sweep()
	main.sql(`UPDATE object SET until = 0, again = 0 WHERE state <> 'live'`) // a day passes
	main.sweep()
	main.sql(`UPDATE object SET until = 0, again = 0 WHERE state <> 'live'`)
	main.wantEmpty()
	main.wantSound()
}

// randomly is what the workers share.
type randomly struct {
	t     testing.TB
	disks [][]byte

	mu     sync.Mutex
	images map[int64]int // image: disk
	did    struct{ published, failed, lost, deleted, rewritten, settled, read, repaired int }
}

// end stops the town when its time is over and enough was done to show something, however slow the machine is.
func (r *randomly) end(stop func()) {
	defer stop()
	over := time.Now().Add(testTime(r.t))
	for enough := false; !r.t.Failed() && (!enough || time.Now().Before(over)); time.Sleep(20 * time.Millisecond) {
		r.mu.Lock()
		enough = r.did.published > 0 && r.did.deleted > 0 && r.did.rewritten > 0 && r.did.settled > 0 && r.did.repaired > 0
		r.mu.Unlock()
	}
}

func (r *randomly) count(n *int, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n += by
}

// work imports one disk after the other. What others do to its lease is no failure.
func (r *randomly) work(until context.Context, h *house, rng *rand.Rand) {
	for until.Err() == nil && !r.t.Failed() {
		c, n := r.take(h, rng)
		if c == nil {
			continue
		}
		w, err := h.Write(r.t.Context(), owner(*c), mapped(r.disks[n], 4096, rng), nil)
		switch {
		case err == nil && rng.IntN(5) == 0:
			err = h.catalog.Fail(r.t.Context(), *c, "x", "It failed.")
			r.count(&r.did.failed, 1)
		case err == nil:
			if err = h.publish(*c, w); err == nil {
				r.count(&r.did.published, 1)
				r.swap(h, c.ImageID, n, rng)
			}
		}
		switch {
		case errors.Is(err, image.ErrLeaseLost):
			r.count(&r.did.lost, 1)
		case refusal.As(err) != nil && refusal.As(err).Temporary: // its packs were replaced by a repair
			if err := h.catalog.Fail(r.t.Context(), *c, "x", "It failed."); err != nil && !errors.Is(err, image.ErrLeaseLost) {
				r.t.Error(err)
			}
		case err != nil:
			r.t.Errorf("import of disk %d: %v", n, err)
		}
	}
}

// take claims an import: one that another has lost, or one of its own. Which disk it is stands in the image's name.
func (r *randomly) take(h *house, rng *rand.Rand) (*image.Claim, int) {
	in := image.Create{Name: string(rune('a' + rng.IntN(len(r.disks)))), URL: "https://example.com/i", Distribution: "Debian", Region: region}
	if _, err := h.catalog.CreateImage(r.t.Context(), h.account, in, image.IdempotencyKey{}); err != nil {
		r.t.Error(err)
		return nil, 0
	}
	c, err := h.catalog.Claim(r.t.Context(), "w", time.Hour)
	if err != nil || c == nil {
		if err != nil {
			r.t.Error(err)
		}
		return nil, 0
	}
	m, err := h.catalog.Image(r.t.Context(), h.account, c.ImageID)
	if err != nil {
		r.t.Error(err)
		return nil, 0
	}
	return c, int(m.Name[0] - 'a')
}

// swap notes a new image, reads some, and deletes some of the old: about as many as come.
func (r *randomly) swap(h *house, id int64, n int, rng *rand.Rand) {
	r.mu.Lock()
	r.images[id] = n
	var victims []int64
	for other := range r.images {
		if len(r.images) > 4 && rng.IntN(4) == 0 {
			victims = append(victims, other)
			delete(r.images, other)
		}
	}
	r.mu.Unlock()
	for _, victim := range victims {
		h.delete(victim)
	}
	r.count(&r.did.deleted, len(victims))
	r.read(h, id, n)
}

// read compares an image that others may delete meanwhile.
func (r *randomly) read(h *house, id int64, n int) {
	got, err := h.content(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.did.read++
	if _, kept := r.images[id]; kept && (err != nil || !bytes.Equal(got, r.disks[n])) {
		r.t.Errorf("image %d of disk %d while all goes on: %v", id, n, err)
	}
}

// sweep sweeps, settles what is not too busy to be settled, and now and then checks.
func (r *randomly) sweep(until context.Context, h *house) {
	for round := 1; until.Err() == nil && !r.t.Failed(); round++ {
		report, err := h.Sweep(r.t.Context())
		if err != nil {
			r.t.Errorf("sweep: %v", err)
		}
		r.count(&r.did.rewritten, report.Rewritten)
		settled, err := h.Settle(r.t.Context(), store.SettleOptions{})
		if err != nil {
			r.t.Errorf("settle: %v", err)
		}
		r.count(&r.did.settled, settled.Packs)
		if round%20 == 0 {
			if _, err := h.Check(r.t.Context(), r.wantTable); err != nil {
				r.t.Errorf("check: %v", err)
			}
		}
	}
}

// repair damages the table of a pack, which no reader needs, and has the pack replaced, again and again: whoever writes,
// reads, settles and sweeps is to lose nothing by it.
func (r *randomly) repair(until context.Context, h *house, rng *rand.Rand) {
	for until.Err() == nil && !r.t.Failed() {
		r.damage(h, rng)
		_, err := h.CheckWith(r.t.Context(), store.CheckOptions{Repair: true, Grace: time.Hour}, func(d store.Damage) {
			if r.wantTable(d); d.Mended {
				r.count(&r.did.repaired, 1)
			}
		})
		if err != nil {
			r.t.Errorf("repair: %v", err)
		}
		select {
		case <-until.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// damage flips a bit in the table of a live pack, unless a sweep has taken the pack by then.
func (r *randomly) damage(h *house, rng *rand.Rand) {
	kept, err := h.catalog.Index(h.id).Kept(r.t.Context(), 0, 1000)
	if err != nil {
		r.t.Error(err)
	}
	kept = slices.DeleteFunc(kept, func(o store.KeptObject) bool { return o.Kind != store.KindPack })
	if len(kept) == 0 {
		return
	}
	o := kept[rng.IntN(len(kept))]
	f, err := os.OpenFile(filepath.Join(h.folder, o.Name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.t.Error(err)
		return
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], o.Size-100)
	b[0] ^= 1
	if _, e := f.WriteAt(b[:], o.Size-100); err != nil || e != nil {
		r.t.Error(err, e)
	}
}

// wantTable wants no other damage than the town's own.
func (r *randomly) wantTable(d store.Damage) {
	if d.Code != store.PackAltered {
		r.t.Errorf("damage: %+v", d)
	}
}

// lapse takes leases away, and lets dead objects be deleted again at once. For how long they are is left alone: a writer
// that is slow in earnest may finish one after that.
func (r *randomly) lapse(until context.Context, h *house, rng *rand.Rand) {
	for until.Err() == nil && !r.t.Failed() {
		select {
		case <-until.Done():
		case <-time.After(time.Duration(rng.IntN(500)) * time.Millisecond):
		}
		h.sql(`UPDATE import SET lease_until = 1 WHERE state = 'running' AND image_id = (SELECT max(image_id) FROM import WHERE state = 'running')`,
			`UPDATE object SET again = again - 7200000 WHERE state = 'dead'`)
	}
}
