package store_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/image"
	"ingot/internal/store"
)

// disks returns n disks that share parts of one pool: each takes pieces of it, in another order, with its own bytes
// between.
func disks(n int, seed uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	pool := guest(6<<20, seed)
	out := make([][]byte, n)
	for i := range out {
		for range 1 + rng.IntN(4) {
			at := rng.IntN(len(pool)/4096) * 4096
			out[i] = append(out[i], pool[at:min(at+rng.IntN(2<<20), len(pool))&^4095]...)
			out[i] = append(out[i], guest(4096*rng.IntN(64), seed+uint64(i)*100)...)
		}
	}
	return out
}

// Compaction moves what is alive out of packs that are mostly dead, and nothing is lost: not for images, not for a
// reader that has the old places in mind.
func TestCompaction(t *testing.T) {
	h := newHouse(t, nil)
	big := guest(24<<20, 1)
	first, _ := h.keep(whole(big))
	part := big[:3<<20]
	second, w := h.keep(whole(part))
	if w.StoredBytes > 100<<10 {
		t.Fatalf("the part is stored anew: %d bytes", w.StoredBytes)
	}
	reader := h.open(w)
	if _, err := reader.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	before := h.bytes()
	h.delete(first)
	report := h.sweep()
	if report.Rewritten == 0 || h.bytes() > before/4 {
		t.Errorf("%+v: %d bytes before, %d after", report, before, h.bytes())
	}
	got := make([]byte, len(part))
	if _, err := reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, part) {
		t.Errorf("a reader from before the sweep: %v", err)
	}
	if got := must(h.content(second))(t); !bytes.Equal(got, part) {
		t.Error("the image came back changed")
	}
	h.wantSound()
	if report := h.sweep(); report != (store.SweepReport{}) {
		t.Errorf("a sweep with nothing to do did %+v", report)
	}
	h.delete(second)
	h.wantEmpty()
}

// A manifest that is lost keeps no pack of other images from being rewritten.
func TestCompactionBesideALostManifest(t *testing.T) {
	h := newHouse(t, nil)
	var kept []int64
	var written []store.Written
	var wholes []int64
	for seed := range uint64(2) {
		big := guest(12<<20, seed+1)
		id, _ := h.keep(whole(big))
		part, w := h.keep(whole(big[:2<<20]))
		kept, written, wholes = append(kept, part), append(written, w), append(wholes, id)
	}
	for _, id := range wholes {
		h.delete(id)
	}
	if err := h.objects.Delete(t.Context(), written[0].Object); err != nil {
		t.Fatal(err)
	}
	if report := h.sweep(); report.Rewritten != 1 {
		t.Errorf("%d packs were rewritten, want that of the image whose manifest is there", report.Rewritten)
	}
	if got := must(h.content(kept[1]))(t); !bytes.Equal(got, guest(12<<20, 2)[:2<<20]) {
		t.Error("its content came back changed")
	}
}

// A pack or a manifest that is damaged is told once, and holds up the rewriting of nothing else.
func TestCompactionBesideDamage(t *testing.T) {
	for name, damage := range map[string]func(*house, store.Written){
		"pack": func(h *house, w store.Written) {
			for pack := range w.Packs {
				path := filepath.Join(h.folder, pack)
				b := must(os.ReadFile(path))(h.t)
				if err := os.WriteFile(path, b[:len(b)/1000], 0o600); err != nil {
					h.t.Fatal(err)
				}
			}
		},
		"manifest": func(h *house, w store.Written) {
			path := filepath.Join(h.folder, w.Object)
			if err := os.WriteFile(path, flip(10)(must(os.ReadFile(path))(h.t)), 0o600); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		h := newHouse(t, nil)
		var parts []int64
		var written []store.Written
		var wholes []int64
		for seed := range uint64(3) {
			big := guest(12<<20, seed+1)
			id, _ := h.keep(whole(big))
			part, w := h.keep(whole(big[:2<<20]))
			parts, written, wholes = append(parts, part), append(written, w), append(wholes, id)
		}
		for _, id := range wholes {
			h.delete(id)
		}
		damage(h, written[0])
		report, err := h.Sweep(t.Context())
		var damaged *store.DamageError
		if !errors.As(err, &damaged) || report.Rewritten != 2 {
			t.Errorf("%s: %d packs were rewritten, want those of the images that are whole; %v", name, report.Rewritten, err)
		}
		if report := h.sweep(); report.Rewritten != 0 || report.Deleted != 0 {
			t.Errorf("%s: the next sweep: %+v", name, report)
		}
		for i, seed := range []uint64{2, 3} {
			if got := must(h.content(parts[i+1]))(t); !bytes.Equal(got, guest(12<<20, seed)[:2<<20]) {
				t.Errorf("%s: the content of image %d came back changed", name, parts[i+1])
			}
		}
	}
}

// bytes is the size of all packs.
func (h *house) bytes() (n int64) {
	h.t.Helper()
	for o, err := range h.objects.List(h.t.Context(), "packs") {
		if err != nil {
			h.t.Fatal(err)
		}
		n += o.Size
	}
	return n
}

// A pack of which half is in use stays.
func TestCompactionLeavesWhatIsFull(t *testing.T) {
	h := newHouse(t, nil)
	big := guest(8<<20, 1)
	first, _ := h.keep(whole(big))
	third := 2 << 20
	for i := range 3 { // none uses half; together they use three quarters
		h.keep(whole(big[i*third : (i+1)*third]))
	}
	packs := h.names("packs")
	h.delete(first)
	if report := h.sweep(); report.Rewritten != 0 {
		t.Errorf("Sweep = %+v", report)
	}
	for _, p := range packs {
		if !slices.Contains(h.names("packs"), p) {
			t.Errorf("pack %s is gone", p)
		}
	}
	h.wantSound()
}

// An import that was killed leaves what the next sweep takes when the import has gone to another worker.
func TestKilledImport(t *testing.T) {
	h := newHouse(t, nil)
	data := guest(3<<20, 4)
	c := h.claim()
	must(h.Write(t.Context(), owner(c), whole(data), nil))(t) // and here the process dies
	h.sweep()
	if len(h.names("")) != 2 {
		t.Errorf("a sweep took what a running import holds: %q is left", h.names(""))
	}
	h.succeed(c, data)
	h.wantEmpty()
}

// Nothing of a write can be reached before it is published.
func TestUnpublishedIsInvisible(t *testing.T) {
	h := newHouse(t, nil)
	c := h.claim()
	must(h.Write(t.Context(), owner(c), whole(guest(1<<20, 4)), nil))(t)
	if _, err := h.content(c.ImageID); err == nil {
		t.Error("an image that is not published has content")
	}
	manifests, err := h.catalog.Index(h.id).Manifests(t.Context(), 0, 10)
	if err != nil || len(manifests) != 0 {
		t.Errorf("Manifests = %v, %v", manifests, err)
	}
}

// Imports, failures, kills, deletions, sweeps and settling at once, by three processes of one database and folder: at the end
// every image that is left comes back byte for byte, and when all are deleted nothing is left.
func TestAllAtOnce(t *testing.T) {
	database, folder := "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), t.TempDir()
	town := &town{t: t, disks: disks(9, 42), images: map[int64]int{}}
	var work, sweeps sync.WaitGroup
	done := make(chan struct{})
	main := openHouse(t, database, folder, nil)
	for i := range uint64(3) {
		h := openHouse(t, database, folder, nil)
		work.Go(func() { town.work(h, rand.New(rand.NewPCG(i, 3))) })
		sweeps.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if _, err := h.Sweep(t.Context()); err != nil {
						t.Error(err)
						return
					}
					if _, err := h.Settle(t.Context(), store.SettleOptions{}); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	work.Wait()
	close(done)
	sweeps.Wait()
	if len(town.images) == 0 {
		t.Fatal("no image is left: the test shows nothing")
	}
	main.wantSound()
	for id, n := range town.images {
		if got, err := main.content(id); err != nil || !bytes.Equal(got, town.disks[n]) {
			t.Errorf("image %d of disk %d: %v", id, n, err)
		}
		main.delete(id)
	}
	main.wantEmpty()
}

// town is what the workers of TestAllAtOnce share.
type town struct {
	t      testing.TB
	disks  [][]byte
	mu     sync.Mutex
	images map[int64]int // image: disk
}

func (w *town) work(h *house, rng *rand.Rand) {
	for range 12 {
		n := rng.IntN(len(w.disks))
		c := h.claim()
		written, err := h.Write(w.t.Context(), owner(c), mapped(w.disks[n], 4096, rng), nil)
		if err != nil {
			w.t.Error(err)
			return
		}
		switch rng.IntN(5) {
		case 0:
			err = h.catalog.Fail(w.t.Context(), c, "x", "It failed.")
		case 1: // killed, and taken over by whoever claims next
			if err = h.catalog.Release(w.t.Context(), c); err == nil {
				c = h.reclaim()
				err = h.catalog.Fail(w.t.Context(), c, "x", "It failed.")
			}
		default:
			if err = h.publish(c, written); err == nil {
				w.check(h, c, n)
				w.swap(h, c.ImageID, n, rng)
			}
		}
		if err != nil {
			w.t.Error(err)
			return
		}
	}
}

func (w *town) check(h *house, c image.Claim, n int) {
	if got, err := h.content(c.ImageID); err != nil || !bytes.Equal(got, w.disks[n]) {
		w.t.Errorf("image %d of disk %d: %v", c.ImageID, n, err)
	}
}

// swap notes a new image and deletes some of the old.
func (w *town) swap(h *house, id int64, n int, rng *rand.Rand) {
	w.mu.Lock()
	w.images[id] = n
	var victims []int64
	for id := range w.images {
		if rng.IntN(4) == 0 {
			victims = append(victims, id)
			delete(w.images, id)
		}
	}
	w.mu.Unlock()
	for _, id := range victims {
		h.delete(id)
	}
}

// An image that is deleted while it is read ends the reading with an error that says what happened.
func TestDeletedUnderAReader(t *testing.T) {
	h := newHouse(t, nil)
	id, w := h.keep(whole(guest(4<<20, 9)))
	r := h.open(w)
	h.delete(id)
	h.sweep()
	_, err := r.ReadAt(make([]byte, 4<<20), 0)
	if err == nil {
		t.Fatal("read all of an image that is gone")
	}
	if _, err := h.Open(t.Context(), w.Object, w.Manifest); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "damage") {
		t.Errorf("Open of an image that is gone: %v", err)
	}
}
