package storetest

import (
	"crypto/rand"
	"slices"
	"testing"

	"ingot/internal/store"
)

// settled returns what a pack of these chunks says after it was settled.
func settled(pack string, digests []store.Digest) []store.Entry {
	out := make([]store.Entry, len(digests))
	for i, d := range digests {
		out[i] = store.Entry{Digest: d, Location: store.Location{
			Pack: pack, Offset: 16 + int64(i)*700, Stored: 700, Length: 2000, Codec: store.CodecZstd}}
	}
	return out
}

// claimed returns the one pack that there is to settle.
func (d *Desk) claimed(t testing.TB) store.UnsettledPack {
	t.Helper()
	p, err := d.ClaimUnsettled(t.Context(), true)
	if err != nil || p == nil {
		t.Fatalf("ClaimUnsettled = %v, %v", p, err)
	}
	return *p
}

// settleTo settles a claimed pack.
func (d *Desk) settleTo(t testing.TB, old store.UnsettledPack) (name string, done bool) {
	t.Helper()
	name = "packs/" + rand.Text()
	if err := d.Reserve(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	var digests []store.Digest
	for _, e := range old.Chunks {
		digests = append(digests, e.Digest)
	}
	done, err := d.Settle(t.Context(), name, int64(len(digests))*700, settled(name, digests), old)
	if err != nil {
		t.Fatal(err)
	}
	return name, done
}

func (d *Desk) wantNoneUnsettled(t testing.TB, when string, idle bool) {
	t.Helper()
	if p, err := d.ClaimUnsettled(t.Context(), idle); p != nil || err != nil {
		t.Errorf("ClaimUnsettled %s = %+v, %v", when, p, err)
	}
}

// A pack that many manifests rely on is settled like any other, and keeps all of them.
func settle(t *testing.T, d *Desk) {
	const users = 300
	first := d.Import()
	old, _ := d.pack(t, first, digests(0, 100))
	d.wantNoneUnsettled(t, "while an import runs", true)
	d.wantNoneUnsettled(t, "while the pack is pinned", false)
	image, _ := d.publish(t, first, 1, map[string]int64{old: 100_000})
	images := []int64{image}
	for i := range users {
		o := d.Import()
		if _, err := d.Find(t.Context(), o, digests(i%100, 1)); err != nil {
			t.Fatal(err)
		}
		image, _ := d.publish(t, o, 1000+i, map[string]int64{old: 1000})
		images = append(images, image)
	}
	p := d.claimed(t)
	if p.Name != old || p.Size != 100_000 || !slices.Equal(p.Chunks, entries(old, digests(0, 100))) {
		t.Fatalf("claimed %+v", p)
	}
	d.wantNoneUnsettled(t, "while another settles", true)
	if err := d.PutOff(t.Context(), old, 0); err != nil {
		t.Fatal(err)
	}
	p = d.claimed(t)
	name, done := d.settleTo(t, p)
	if !done {
		t.Fatal("not settled")
	}
	d.wantNoneUnsettled(t, "when all is settled", true)
	if got, err := d.PackChunks(t.Context(), name); err != nil || !slices.Equal(got, settled(name, digests(0, 100))) {
		t.Errorf("the settled pack has %+v, %v", got, err)
	}
	wantNames(t, "dead when the pack is settled", d.sweep(t), old)
	if _, done := d.settleTo(t, p); done {
		t.Error("one pack was settled twice")
	}
	d.want(t, digests(0, 100), name)
	o := d.Import()
	if found, err := d.Find(t.Context(), o, digests(0, 1)); err != nil || found[0].Pack != name {
		t.Errorf("Find = %v, %v", found, err)
	}
	image, _ = d.publish(t, o, 2, map[string]int64{name: 700})
	for _, id := range append(images, image) {
		if slices.Contains(d.sweep(t), name) {
			t.Fatal("the settled pack is dead, and an image needs it")
		}
		d.Delete(id)
	}
	if dead := d.sweep(t); !slices.Contains(dead, name) {
		t.Errorf("dead at the end: %q", dead)
	}
}

// Whatever happens to a pack between the claim and Settle decides.
func settleTooLate(t *testing.T, d *Desk) {
	o := d.Import()
	old, _ := d.pack(t, o, digests(0, 10))
	image, _ := d.publish(t, o, 1, map[string]int64{old: 10_000})
	p := d.claimed(t)
	o = d.Import()
	if _, err := d.Find(t.Context(), o, digests(0, 1)); err != nil {
		t.Fatal(err)
	}
	try := func(what string) {
		t.Helper()
		name, done := d.settleTo(t, p)
		if done {
			t.Errorf("settled although %s", what)
		}
		if !slices.Contains(d.sweep(t), name) {
			t.Errorf("%s: the new pack lives", what)
		}
	}
	try("an import had pinned the pack")
	d.want(t, digests(0, 10), old)
	d.Fail(o)
	d.Delete(image)
	if !slices.Contains(d.sweep(t), old) {
		t.Fatal("the claim of one who settles keeps a pack that nobody needs")
	}
	try("the pack was deleted")
}
