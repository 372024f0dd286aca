package storetest

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"ingot/internal/store"
)

// Desk is a chunk index with the catalogue's part of the work. The functions end the test where they fail.
type Desk struct {
	store.Catalog

	Import  func() store.Owner            // starts an import
	Lose    func(store.Owner) store.Owner // takes an import's lease away and gives it to another worker
	Publish func(store.Owner, store.Written) (image int64, err error)
	Fail    func(store.Owner)
	Delete  func(image int64)
	Later   func() // makes two hours pass
	Lost    error  // what a call under a lost lease returns
}

// Index checks that a chunk index keeps the promises of store.Catalog. open returns an empty one each time.
func Index(t *testing.T, open func(*testing.T) *Desk) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Desk)
	}{
		{"add and find", addAndFind},
		{"lost lease", lostLease},
		{"first wins", firstWins},
		{"failed import", failedImport},
		{"pins hold", pinsHold},
		{"abandoned", abandoned},
		{"same manifest", sameManifest},
		{"unpinned pack", unpinnedPack},
		{"replace", replace},
		{"replace too late", replaceTooLate},
		{"settle", settle},
		{"settle too late", settleTooLate},
		{"kept", kept},
		{"all at once", allAtOnce},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// digests returns n digests from the seed-th on.
func digests(seed, n int) []store.Digest {
	out := make([]store.Digest, n)
	for i := range out {
		out[i] = sha256.Sum256(fmt.Append(nil, seed+i))
	}
	return out
}

// entries returns what a pack of these chunks says.
func entries(pack string, digests []store.Digest) []store.Entry {
	out := make([]store.Entry, len(digests))
	for i, d := range digests {
		out[i] = store.Entry{Digest: d, Location: store.Location{
			Pack: pack, Offset: 16 + int64(i)*1000, Stored: 1000, Length: 2000, Codec: store.CodecS2}}
	}
	return out
}

// pack registers a pack and adds its chunks.
func (d *Desk) pack(t testing.TB, o store.Owner, digests []store.Digest) (name string, valid []store.Location) {
	t.Helper()
	name = "packs/" + rand.Text()
	if err := d.Begin(t.Context(), o, store.KindPack, name); err != nil {
		t.Fatal(err)
	}
	valid, err := d.Add(t.Context(), o, name, int64(len(digests))*1000, entries(name, digests))
	if err != nil {
		t.Fatal(err)
	}
	return name, valid
}

// publish publishes a manifest that uses these bytes of packs. Its digest is the seed's.
func (d *Desk) publish(t testing.TB, o store.Owner, seed int, packs map[string]int64) (image int64, object string) {
	t.Helper()
	w := store.Written{Manifest: digests(seed, 1)[0], Object: "manifests/" + rand.Text(), Size: 100, GuestSize: 1 << 20, DataBytes: 1000, Packs: packs}
	if err := d.Begin(t.Context(), o, store.KindManifest, w.Object); err != nil {
		t.Fatal(err)
	}
	image, err := d.Publish(o, w)
	if err != nil {
		t.Fatal(err)
	}
	return image, w.Object
}

// sweep condemns all that can be and returns the names of all that is dead.
func (d *Desk) sweep(t testing.TB) []string {
	t.Helper()
	for {
		n, err := d.Condemn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	dead, err := d.Dead(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range dead {
		names = append(names, o.Name)
	}
	return names
}

// want fails the test unless each chunk is where it should be; "" is nowhere.
func (d *Desk) want(t testing.TB, digests []store.Digest, pack string) {
	t.Helper()
	found, err := d.Locate(t.Context(), digests)
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		if found[i].Pack != pack {
			t.Fatalf("chunk %d of %d is in %q, want %q", i, len(found), found[i].Pack, pack)
		}
	}
}

func wantNames(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func addAndFind(t *testing.T, d *Desk) {
	o := d.Import()
	all := digests(0, 700)
	name, valid := d.pack(t, o, all)
	want := entries(name, all)
	for i := range want {
		if valid[i] != want[i].Location {
			t.Fatalf("Add says chunk %d is at %+v, want %+v", i, valid[i], want[i].Location)
		}
	}
	for _, n := range []int{0, 1, 7, 8, 9, 128, 129, 700} {
		asked := slices.Concat(all[:n], digests(10_000, 3), all[:n])
		for what, find := range map[string]func() ([]store.Location, error){
			"Find":   func() ([]store.Location, error) { return d.Find(t.Context(), o, asked) },
			"Locate": func() ([]store.Location, error) { return d.Locate(t.Context(), asked) },
		} {
			found, err := find()
			if err != nil || len(found) != len(asked) {
				t.Fatalf("%s of %d: %d locations, %v", what, len(asked), len(found), err)
			}
			for i, l := range found {
				expect := store.Location{}
				if i < n {
					expect = want[i].Location
				} else if i >= n+3 {
					expect = want[i-n-3].Location
				}
				if l != expect {
					t.Fatalf("%s of %d: chunk %d is at %+v, want %+v", what, len(asked), i, l, expect)
				}
			}
		}
	}
}

func lostLease(t *testing.T, d *Desk) {
	o := d.Import()
	if err := d.Begin(t.Context(), o, store.KindPack, "packs/a"); err != nil {
		t.Fatal(err)
	}
	d.pack(t, o, digests(0, 10))
	next := d.Lose(o)
	if err := d.Begin(t.Context(), o, store.KindPack, "packs/b"); !errors.Is(err, d.Lost) {
		t.Errorf("Begin: %v", err)
	}
	if _, err := d.Find(t.Context(), o, digests(0, 10)); !errors.Is(err, d.Lost) {
		t.Errorf("Find of what is pinned: %v", err)
	}
	if _, err := d.Add(t.Context(), o, "packs/a", 1000, entries("packs/a", digests(50, 1))); !errors.Is(err, d.Lost) {
		t.Errorf("Add: %v", err)
	}
	// What the first worker began is not the second's to finish.
	if _, err := d.Add(t.Context(), next, "packs/a", 1000, entries("packs/a", digests(50, 1))); err == nil {
		t.Error("Add of a pack that was begun under another lease succeeded")
	}
	d.want(t, digests(50, 1), "")
	if found, err := d.Find(t.Context(), next, digests(0, 10)); err != nil || found[0].Pack == "" {
		t.Errorf("the next worker does not find what the first added: %v", err)
	}
}

func firstWins(t *testing.T, d *Desk) {
	first, second := d.Import(), d.Import()
	a, _ := d.pack(t, first, digests(0, 300))
	b, valid := d.pack(t, second, digests(200, 300))
	for i, l := range valid {
		want := b
		if i < 100 {
			want = a
		}
		if l.Pack != want {
			t.Fatalf("chunk %d is in %s, want %s", i, l.Pack, want)
		}
	}
	d.Fail(first)
	wantNames(t, "dead while the second relies on the first's pack", d.sweep(t))
	image, _ := d.publish(t, second, 1, map[string]int64{a: 100_000, b: 200_000})
	wantNames(t, "dead after publication", d.sweep(t))
	d.Delete(image)
	if dead := d.sweep(t); len(dead) != 3 {
		t.Errorf("dead after deletion: %q", dead)
	}
	d.want(t, digests(0, 500), "")
}

func failedImport(t *testing.T, d *Desk) {
	o := d.Import()
	name, _ := d.pack(t, o, digests(0, 20))
	if err := d.Begin(t.Context(), o, store.KindPack, "packs/unfinished"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, "dead during the import", d.sweep(t))
	d.Fail(o)
	wantNames(t, "dead after it", d.sweep(t), name, "packs/unfinished")
	d.want(t, digests(0, 20), "")
	dead, err := d.Dead(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Forget(t.Context(), []int64{dead[0].ID, dead[1].ID}); err != nil {
		t.Fatal(err)
	}
	// Its writer may be hung and finish it later: it must be deleted again.
	wantNames(t, "to be deleted after Forget", d.sweep(t))
	d.Later()
	wantNames(t, "to be deleted two hours later", d.sweep(t), "packs/unfinished")
	if known, err := d.Registered(t.Context(), []string{name, "packs/unfinished"}); err != nil || known[0] || !known[1] {
		t.Errorf("Registered = %v, %v", known, err)
	}
}

func pinsHold(t *testing.T, d *Desk) {
	first := d.Import()
	name, _ := d.pack(t, first, digests(0, 20))
	image, _ := d.publish(t, first, 1, map[string]int64{name: 20_000})
	second := d.Import()
	if found, err := d.Find(t.Context(), second, digests(0, 1)); err != nil || found[0].Pack != name {
		t.Fatalf("Find = %v, %v", found, err)
	}
	d.Delete(image)
	if dead := d.sweep(t); slices.Contains(dead, name) {
		t.Fatal("a pinned pack is dead")
	}
	second = d.Lose(second) // the pin is the import's, not the worker's
	if dead := d.sweep(t); slices.Contains(dead, name) {
		t.Fatal("a pinned pack is dead after the lease went to another worker")
	}
	d.want(t, digests(0, 20), name)
	image, _ = d.publish(t, second, 2, map[string]int64{name: 1000})
	if dead := d.sweep(t); slices.Contains(dead, name) {
		t.Fatal("a pack that a manifest names is dead")
	}
	d.Delete(image)
	if dead := d.sweep(t); !slices.Contains(dead, name) {
		t.Error("a pack that nobody holds lives")
	}
}

func abandoned(t *testing.T, d *Desk) {
	o := d.Import()
	for _, kind := range []store.Kind{store.KindPack, store.KindManifest} {
		if err := d.Begin(t.Context(), o, kind, string(kind)+"s/a"); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, "dead under the lease", d.sweep(t))
	next := d.Lose(o)
	if err := d.Begin(t.Context(), next, store.KindPack, "packs/next"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, "dead after the lease", d.sweep(t), "packs/a", "manifests/a")
	if _, err := d.Publish(o, store.Written{Object: "manifests/a"}); !errors.Is(err, d.Lost) {
		t.Errorf("publication under a lost lease: %v", err)
	}
	if _, err := d.Publish(next, store.Written{Object: "manifests/a"}); err == nil {
		t.Error("a dead manifest was published")
	}
}

func sameManifest(t *testing.T, d *Desk) {
	first, second := d.Import(), d.Import()
	name, _ := d.pack(t, first, digests(0, 20))
	if _, err := d.Find(t.Context(), second, digests(0, 20)); err != nil {
		t.Fatal(err)
	}
	one, object := d.publish(t, first, 1, map[string]int64{name: 20_000})
	two, other := d.publish(t, second, 1, map[string]int64{name: 20_000})
	wantNames(t, "dead when the same was published twice", d.sweep(t), other)
	d.Delete(one)
	wantNames(t, "dead when one is deleted", d.sweep(t), other)
	d.Delete(two)
	wantNames(t, "dead when both are", d.sweep(t), other, object, name)
}

func unpinnedPack(t *testing.T, d *Desk) {
	first, second := d.Import(), d.Import()
	name, _ := d.pack(t, first, digests(0, 20))
	w := store.Written{Manifest: digests(9, 1)[0], Object: "manifests/a", Packs: map[string]int64{name: 1}}
	if err := d.Begin(t.Context(), second, store.KindManifest, w.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(second, w); err == nil {
		t.Error("a manifest was published that relies on a pack that its import has not pinned")
	}
}

func kept(t *testing.T, d *Desk) {
	o := d.Import()
	name, _ := d.pack(t, o, digests(0, 10))
	image, object := d.publish(t, o, 1, map[string]int64{name: 10_000})
	all, err := d.Kept(t.Context(), 0, 10)
	if err != nil || len(all) != 2 || all[0].Name != name || all[0].Size != 10_000 || all[1].Kind != store.KindManifest || all[1].Size != 100 {
		t.Errorf("Kept = %+v, %v", all, err)
	}
	if rest, err := d.Kept(t.Context(), all[0].ID, 10); err != nil || len(rest) != 1 {
		t.Errorf("Kept after the first = %+v, %v", rest, err)
	}
	chunks, err := d.PackChunks(t.Context(), name)
	if err != nil || !slices.Equal(chunks, entries(name, digests(0, 10))) {
		t.Errorf("PackChunks = %+v, %v", chunks, err)
	}
	manifests, err := d.Manifests(t.Context(), 0, 10)
	if err != nil || len(manifests) != 1 || manifests[0].Object != object || !slices.Equal(manifests[0].Images, []int64{image}) {
		t.Errorf("Manifests = %+v, %v", manifests, err)
	}
}
