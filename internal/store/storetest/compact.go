package storetest

import (
	"crypto/rand"
	"slices"
	"testing"

	"ingot/internal/store"
)

// sparse makes a pack of 100 chunks of which a published manifest uses 10, and returns what the index says of it.
func sparse(t testing.TB, d *Desk) (pack store.SparsePack, image int64) {
	t.Helper()
	first, second := d.Import(), d.Import()
	name, _ := d.pack(t, first, digests(0, 100))
	dropped, _ := d.publish(t, first, 1, map[string]int64{name: 100_000})
	if _, err := d.Find(t.Context(), second, digests(0, 10)); err != nil {
		t.Fatal(err)
	}
	image, _ = d.publish(t, second, 2, map[string]int64{name: 10_000})
	if packs, err := d.Sparse(t.Context(), 10); err != nil || len(packs) != 0 {
		t.Fatalf("Sparse = %+v, %v; all of the pack is in use", packs, err)
	}
	d.Delete(dropped)
	d.sweep(t)
	packs, err := d.Sparse(t.Context(), 10)
	if err != nil || len(packs) != 1 {
		t.Fatalf("Sparse = %d packs, %v", len(packs), err)
	}
	p := packs[0]
	if p.Name != name || len(p.Manifests) != 1 || p.Manifests[0].Digest != digests(2, 1)[0] || len(p.Chunks) != 100 {
		t.Fatalf("Sparse says %+v", p)
	}
	return p, image
}

func replace(t *testing.T, d *Desk) {
	old, image := sparse(t, d)
	name := "packs/new"
	if err := d.Reserve(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(d.sweep(t), name) {
		t.Fatal("a pack that a sweep writes was taken by another")
	}
	live := entries(name, digests(0, 10))
	if done, err := d.Replace(t.Context(), name, 10_000, live, []store.SparsePack{old}); err != nil || !done {
		t.Fatalf("Replace = %v, %v", done, err)
	}
	d.want(t, digests(0, 10), name)
	d.want(t, digests(10, 90), "")
	if dead := d.sweep(t); !slices.Contains(dead, old.Name) || slices.Contains(dead, name) {
		t.Errorf("dead after Replace: %q", dead)
	}
	if packs, err := d.Sparse(t.Context(), 10); err != nil || len(packs) != 0 {
		t.Errorf("Sparse after Replace = %+v, %v", packs, err)
	}
	o := d.Import()
	if found, err := d.Find(t.Context(), o, digests(0, 1)); err != nil || found[0].Pack != name {
		t.Errorf("Find = %v, %v", found, err)
	}
	d.Fail(o)
	d.Delete(image)
	if dead := d.sweep(t); !slices.Contains(dead, name) {
		t.Errorf("dead at the end: %q", dead)
	}
}

// Whatever begins to rely on a pack, or lets go of it, between Sparse and Replace, stops Replace; Keep too.
func replaceTooLate(t *testing.T, d *Desk) {
	old, image := sparse(t, d)
	try := func(what string) {
		t.Helper()
		name := "packs/" + rand.Text()
		if err := d.Reserve(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		done, err := d.Replace(t.Context(), name, 10_000, entries(name, digests(0, 10)), []store.SparsePack{old})
		if err != nil || done {
			t.Errorf("%s: Replace = %v, %v", what, done, err)
		}
		if dead := d.sweep(t); !slices.Contains(dead, name) {
			t.Errorf("%s: the new pack lives", what)
		}
	}
	o := d.Import()
	if _, err := d.Find(t.Context(), o, digests(50, 1)); err != nil {
		t.Fatal(err)
	}
	try("pinned")
	d.want(t, digests(0, 100), old.Name)
	other, _ := d.publish(t, o, 3, map[string]int64{old.Name: 1000})
	try("used by another manifest")
	d.want(t, digests(0, 100), old.Name)
	d.Delete(other)
	d.Delete(image)
	if err := d.Keep(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if dead := d.sweep(t); !slices.Contains(dead, old.Name) {
		t.Error("Keep of a pack that nobody uses any more made the sweep forget it")
	}
	try("dead")
}
