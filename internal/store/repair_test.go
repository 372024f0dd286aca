package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
	"ingot/internal/store"
)

// repair runs a repair and returns the sorts of damage found, and of those that are left.
func (h *house) repair(others ...*store.Store) (found, left []store.DamageCode) {
	h.t.Helper()
	opt := store.CheckOptions{Repair: true, Others: others}
	_, err := h.CheckWith(h.t.Context(), opt, func(d store.Damage) {
		if d.Repair == "" {
			h.t.Errorf("nothing was done about %+v", d)
		}
		found = append(found, d.Code)
		if !d.Mended {
			left = append(left, d.Code)
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Sort(found)
	slices.Sort(left)
	return slices.Compact(found), slices.Compact(left)
}

func (h *house) image(id int64) image.Image {
	h.t.Helper()
	return must(h.catalog.Image(h.t.Context(), h.account, id))(h.t)
}

// wantServed fails the test unless the image is available and reads right, by a process that has nothing in mind.
func (d *damaged) wantServed(id int64, contents []byte) {
	d.t.Helper()
	other := openHouse(d.t, d.database, d.folder, nil)
	if m := other.image(id); m.Status != image.Available || m.ErrorMessage != "" {
		d.t.Errorf("image %d is %s: %s", id, m.Status, m.ErrorMessage)
	}
	if got, err := other.content(id); err != nil || !bytes.Equal(got, contents) {
		d.t.Errorf("image %d does not read right: %v", id, err)
	}
}

// wantWithdrawn fails the test unless the image is not served, and says why.
func (d *damaged) wantWithdrawn(id int64) {
	d.t.Helper()
	m := d.house.image(id)
	if m.Status != image.Pending || !strings.Contains(m.ErrorMessage, "damaged") {
		d.t.Errorf("image %d is %s: %q", id, m.Status, m.ErrorMessage)
	}
	if _, err := d.catalog.Content(d.t.Context(), d.account, id); err == nil || !strings.Contains(err.Error(), "damaged") {
		d.t.Errorf("the content of image %d: %v", id, err)
	}
}

// kinds are all kinds of damage that are done to a store with one store's means to repair it.
var kinds = []struct {
	name   string
	damage func(*damaged)
	found  []store.DamageCode
	left   []store.DamageCode // after a repair with nothing to copy from
	spared bool               // no image is concerned
}{
	{"pack missing", func(d *damaged) { os.Remove(d.path(d.packs[0])) },
		codes(store.PackMissing, store.ImageIncomplete), codes(store.ImageIncomplete), false},
	{"pack truncated", func(d *damaged) { d.change(d.packs[0], func(b []byte) []byte { return b[:len(b)/2] }) },
		codes(store.PackAltered, store.ChunkAltered, store.ImageIncomplete), codes(store.ImageIncomplete), false},
	{"pack empty", func(d *damaged) { d.change(d.packs[0], func([]byte) []byte { return nil }) },
		codes(store.PackAltered, store.ChunkAltered, store.ImageIncomplete), codes(store.ImageIncomplete), false},
	{"pack longer", func(d *damaged) { d.change(d.packs[0], func(b []byte) []byte { return append(b, 0) }) },
		codes(store.PackAltered), nil, false},
	{"pack replaced by another", func(d *damaged) {
		d.change(d.packs[0], func([]byte) []byte { return must(os.ReadFile(d.path(d.spare)))(d.t) })
	}, codes(store.PackAltered, store.RowWithoutChunk, store.ImageIncomplete), codes(store.ImageIncomplete), false},
	{"bit in a chunk", func(d *damaged) { d.change(d.packs[0], flip(5000)) },
		codes(store.ChunkAltered, store.ImageIncomplete), codes(store.ImageIncomplete), false},
	{"bit in the table", func(d *damaged) { d.change(d.packs[0], flip(-100)) }, codes(store.PackAltered), nil, false},
	{"bit in the header", func(d *damaged) { d.change(d.packs[0], flip(2)) }, codes(store.PackAltered), nil, false},
	{"rows lost", func(d *damaged) { d.sql(`DELETE FROM chunk WHERE object_id = ` + d.object(d.packs[0])) },
		codes(store.ChunkWithoutRow), nil, false},
	{"rows wrong", func(d *damaged) { d.sql(`UPDATE chunk SET off = off + 1 WHERE object_id = ` + d.object(d.packs[0])) },
		codes(store.RowWithoutChunk), nil, false},
	{"size in the row wrong", func(d *damaged) { d.sql(`UPDATE object SET size = size + 1 WHERE id = ` + d.object(d.packs[0])) },
		codes(store.PackAltered), nil, false},
	{"references lost", func(d *damaged) { d.sql(`DELETE FROM manifest_pack WHERE object_id = ` + d.object(d.packs[0])) },
		codes(store.PackUnreferred), nil, false},
	{"manifest missing", func(d *damaged) { os.Remove(d.path(d.written.Object)) },
		codes(store.ManifestMissing), codes(store.ManifestMissing), false},
	{"bit in the manifest", func(d *damaged) { d.change(d.written.Object, flip(10)) },
		codes(store.ManifestAltered), codes(store.ManifestAltered), false},
	{"bit in the manifest's root", func(d *damaged) { d.change(d.written.Object, flip(-1)) },
		codes(store.ManifestAltered), codes(store.ManifestAltered), false},
	{"manifest truncated", func(d *damaged) { d.change(d.written.Object, func(b []byte) []byte { return b[:20] }) },
		codes(store.ManifestAltered), codes(store.ManifestAltered), false},
	{"stray object", func(d *damaged) { os.WriteFile(d.path(d.stray()), []byte("x"), 0o600) },
		codes(store.ObjectUnexpected), nil, true},
	{"pack on no list", func(d *damaged) {
		d.sql(`INSERT INTO object (store_id, name, kind, state, size) SELECT store_id, 'packs/lone', 'pack', 'live', size
			FROM object WHERE id = ` + d.object(d.packs[0]))
		os.WriteFile(d.path("packs/lone"), must(os.ReadFile(d.path(d.packs[0])))(d.t), 0o600)
	}, codes(store.PackUnused), nil, true},
}

func codes(c ...store.DamageCode) []store.DamageCode {
	slices.Sort(c)
	return c
}

// object is the row of an object.
func (h *house) object(name string) string {
	return fmt.Sprintf(`(SELECT id FROM object WHERE name = '%s')`, name)
}

// Every kind of damage: what a check finds, whom it concerns, what a repair leaves of it, that a second check finds no
// more, that no image that is available is not whole, that importing the same again brings all back, and that in the end
// nothing is left lying about.
func TestRepair(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testRepair(t, newDamaged) })
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t)
		testRepair(t, func(t *testing.T) *damaged { return newDamagedOn(t, server.Database(t)) })
	})
}

func testRepair(t *testing.T, open func(*testing.T) *damaged) {
	for _, test := range kinds {
		t.Run(test.name, func(t *testing.T) {
			d := open(t)
			test.damage(d)
			found, images := d.codes()
			if test.name == "rows lost" || test.name == "rows wrong" { // without a repair the image is not whole either
				found = slices.DeleteFunc(found, func(c store.DamageCode) bool { return c == store.ImageIncomplete })
			}
			concerned := []int64{d.image}
			if test.spared {
				concerned = nil
			}
			if diff := cmp.Diff(concerned, images); diff != "" {
				t.Errorf("images concerned: %s", diff)
			}
			if diff := cmp.Diff(test.found, found); diff != "" {
				t.Errorf("a check finds:\n%s", diff)
			}
			found, left := d.repair()
			if diff := cmp.Diff(test.found, found); diff != "" {
				t.Errorf("a repair finds:\n%s", diff)
			}
			if diff := cmp.Diff(test.left, left); diff != "" {
				t.Errorf("left after the repair:\n%s", diff)
			}
			d.wantServed(d.second, d.other)
			if after, _ := d.codes(); !slices.Equal(after, test.left) {
				t.Errorf("the next check finds %v, want %v", after, test.left)
			}
			if test.left == nil {
				d.wantServed(d.image, d.contents)
			} else {
				d.wantWithdrawn(d.image)
			}
			d.sweep() // takes nothing that could bring the image back
			again, _ := d.keep(whole(d.contents))
			for _, id := range []int64{d.image, again} {
				d.wantServed(id, d.contents)
			}
			d.sweep()
			d.wantSound()
			for _, id := range []int64{d.image, d.second} {
				d.delete(id)
			}
			d.sweep()
			d.wantServed(again, d.contents)
			d.delete(again)
			d.sweep()
			d.later()
			d.wantEmpty()
		})
	}
}

// An image that shares with a damaged one is whole again once the shared chunks come back in any other, and a repair has
// seen it.
func TestRepairAfterAnotherImport(t *testing.T) {
	d := newDamaged(t)
	d.change(d.packs[0], flip(5000))
	d.repair()
	d.wantWithdrawn(d.image)
	longer := append(slices.Clone(d.contents), guest(1<<20, 99)...)
	third, _ := d.keep(whole(longer))
	d.wantWithdrawn(d.image)
	found, left := d.repair()
	if diff := cmp.Diff([][]store.DamageCode{codes(store.ImageWithdrawn), nil}, [][]store.DamageCode{found, left}); diff != "" {
		t.Errorf("found, left: %s", diff)
	}
	d.wantServed(d.image, d.contents)
	d.delete(third)
	d.sweep()
	d.wantServed(d.image, d.contents)
	d.wantSound()
}

// What is lost here is copied from another store that has it: packs, chunks and manifests.
func TestRepairFromAnotherStore(t *testing.T) {
	for _, test := range kinds {
		if test.left == nil {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			d := newDamaged(t)
			mirror := newHouse(t, nil)
			mirror.keep(whole(d.contents))
			test.damage(d)
			if _, left := d.repair(mirror.Store); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			d.sweep()
			d.wantSound()
			d.wantServed(d.image, d.contents)
		})
	}
}

// A pack that nobody knows of, and one that lost the race for its chunks, have what is lost elsewhere.
func TestRepairFromAnotherPack(t *testing.T) {
	d := newDamaged(t)
	copied := must(os.ReadFile(d.path(d.packs[0])))(t)
	if err := os.WriteFile(d.path(d.stray()), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	d.change(d.packs[0], flip(5000))
	found, left := d.repair()
	if diff := cmp.Diff(codes(store.ChunkAltered, store.ImageIncomplete, store.ObjectUnexpected), found); diff != "" || len(left) > 0 {
		t.Errorf("left %v; found: %s", left, diff)
	}
	d.sweep()
	d.wantSound()
	d.wantServed(d.image, d.contents)
	if slices.Contains(d.names("packs"), d.stray()) {
		t.Error("the stray pack is still there after the sweep")
	}
}

// An import that counts on a pack that a repair replaces is not published with what is lost; it begins again.
func TestRepairBesideAnImport(t *testing.T) {
	d := newDamaged(t)
	c := d.claim()
	w := must(d.Write(t.Context(), owner(c), whole(d.contents), nil))(t)
	d.change(d.packs[0], flip(5000))
	d.repair()
	if err := d.publish(c, w); err == nil || !strings.Contains(err.Error(), "store_repaired") {
		t.Fatalf("Publish: %v", err)
	}
	d.succeed(c, d.contents)
	d.wantServed(d.image, d.contents)
}

// A repair leaves what nobody knows of in place for the grace.
func TestGraceOfStrays(t *testing.T) {
	d := newDamaged(t)
	if err := os.WriteFile(d.path(d.stray()), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := store.CheckOptions{Repair: true, Grace: time.Hour}
	if _, err := d.CheckWith(t.Context(), opt, func(store.Damage) {}); err != nil {
		t.Fatal(err)
	}
	d.sweep()
	if !slices.Contains(d.names("packs"), d.stray()) {
		t.Error("the sweep took it before the grace was over")
	}
	d.wantSound()
	d.house.later()
	d.sweep()
	if slices.Contains(d.names("packs"), d.stray()) {
		t.Error("the sweep left it after the grace")
	}
}

// What a repair has replaced is left for the grace too.
func TestGraceOfWhatIsReplaced(t *testing.T) {
	d := newDamaged(t)
	d.change(d.packs[0], flip(5000))
	if _, err := d.CheckWith(t.Context(), store.CheckOptions{Repair: true, Grace: time.Hour}, func(store.Damage) {}); err != nil {
		t.Fatal(err)
	}
	d.sweep()
	d.change(d.packs[0], flip(5000)) // the file is there; what was read wrong is right now
	d.repair()
	d.wantServed(d.image, d.contents)
	d.house.later()
	d.sweep()
	if slices.Contains(d.names("packs"), d.packs[0]) {
		t.Error("the sweep left it after the grace")
	}
	d.wantServed(d.image, d.contents)
	d.wantSound()
}

// flakyObjects gives a wrong answer once.
type flakyObjects struct {
	store.Objects
	pack     string
	missing  bool // by Stat
	flipping bool // by ReadAt
}

func (f *flakyObjects) Stat(ctx context.Context, name string) (int64, error) {
	if name == f.pack && f.missing {
		f.missing = false
		return 0, fs.ErrNotExist
	}
	return f.Objects.Stat(ctx, name)
}

func (f *flakyObjects) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	err := f.Objects.ReadAt(ctx, name, p, off)
	if name == f.pack && f.flipping && len(p) > 10000 {
		f.flipping = false
		p[5000] ^= 1
	}
	return err
}

// One wrong answer costs no pack.
func TestRepairReadsTwice(t *testing.T) {
	for _, missing := range []bool{true, false} {
		d := newDamaged(t)
		flaky := &flakyObjects{d.objects, d.packs[0], missing, !missing}
		d.Store = must(store.New(flaky, d.catalog.Index(d.id)))(t)
		packs := d.names("packs")
		if found, left := d.repair(); len(found) != 1 || len(left) > 0 {
			t.Errorf("missing %v: found %v, left %v", missing, found, left)
		}
		d.sweep()
		if !slices.Equal(packs, d.names("packs")) {
			t.Errorf("missing %v: the pack was replaced", missing)
		}
		d.wantServed(d.image, d.contents)
		d.wantSound()
	}
}

// A place that goes away while it is repaired has lost nothing.
func TestRepairOfAPlaceThatGoesAway(t *testing.T) {
	for _, after := range []string{"packs", "manifests"} {
		d := newDamaged(t)
		w := must(d.objects.Create(t.Context(), "mark/x"))(t)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		var away atomic.Bool
		d.Store = must(store.New(&faults{d.objects, func(_, name string) error {
			if strings.HasPrefix(name, after) {
				away.Store(true)
			}
			if away.Load() {
				return fs.ErrNotExist
			}
			return nil
		}}, d.catalog.Index(d.id)))(t)
		if _, err := d.CheckWith(t.Context(), store.CheckOptions{Repair: true}, func(store.Damage) {}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the repair: %v", err)
		}
		d.Store = must(store.New(d.objects, d.catalog.Index(d.id)))(t)
		d.sweep()
		d.wantSound()
		d.wantServed(d.image, d.contents)
		d.wantServed(d.second, d.other)
	}
}

func TestQuickCheck(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(*damaged)
		want   []store.DamageCode
	}{
		"sound":              {func(*damaged) {}, nil},
		"pack missing":       {func(d *damaged) { os.Remove(d.path(d.packs[0])) }, codes(store.PackMissing)},
		"pack truncated":     {func(d *damaged) { os.Truncate(d.path(d.packs[0]), 5) }, codes(store.PackAltered)},
		"manifest missing":   {func(d *damaged) { os.Remove(d.path(d.written.Object)) }, codes(store.ManifestMissing)},
		"manifest truncated": {func(d *damaged) { os.Truncate(d.path(d.written.Object), 5) }, codes(store.ManifestAltered)},
		"bit in a chunk":     {func(d *damaged) { d.change(d.packs[0], flip(5000)) }, nil}, // that takes the full check
	} {
		d := newDamaged(t)
		test.damage(d)
		var reads atomic.Int64
		s := must(store.New(&faults{d.objects, func(op, _ string) error {
			if op == "read" {
				reads.Add(1)
			}
			return nil
		}}, d.catalog.Index(d.id)))(t)
		var found []store.DamageCode
		_, err := s.CheckWith(t.Context(), store.CheckOptions{Quick: true}, func(f store.Damage) {
			found = append(found, f.Code)
			if diff := cmp.Diff([]int64{d.image}, f.Images); diff != "" {
				t.Errorf("%s: images: %s", name, diff)
			}
		})
		if diff := cmp.Diff(test.want, found); diff != "" || err != nil || reads.Load() > 0 {
			t.Errorf("%s: %d reads, %v, %s", name, reads.Load(), err, diff)
		}
	}
}

// A repair that is cut off at any of its steps is finished by the next.
func TestRepairIsCutOff(t *testing.T) {
	for n := int64(1); ; n++ {
		d := newDamaged(t)
		mirror := newHouse(t, nil)
		mirror.keep(whole(d.contents))
		d.change(d.packs[0], flip(5000))
		os.Remove(d.path(d.written.Object))
		var calls atomic.Int64
		cut := must(store.New(&faults{d.objects, func(op, _ string) error {
			if op == "read" || op == "write" {
				return nil
			}
			if calls.Add(1) == n {
				return errFault
			}
			return nil
		}}, d.catalog.Index(d.id)))(t)
		_, err := cut.CheckWith(t.Context(), store.CheckOptions{Repair: true, Others: []*store.Store{mirror.Store}}, func(store.Damage) {})
		d.wantServed(d.second, d.other)
		if _, left := d.repair(mirror.Store); len(left) > 0 {
			t.Errorf("cut off at %d: left: %v", n, left)
		}
		d.wantServed(d.image, d.contents)
		d.sql(`UPDATE object SET until = 0 WHERE state = 'writing'`) // an hour passes
		d.sweep()
		d.wantSound()
		if err == nil {
			if n < 6 {
				t.Errorf("a repair had only %d steps: the test shows little", n-1)
			}
			return
		}
	}
}
