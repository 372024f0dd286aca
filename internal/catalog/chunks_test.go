package catalog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

func TestChunkIndexSQLite(t *testing.T) {
	storetest.Index(t, func(t *testing.T) *storetest.Desk {
		return newDesk(t, openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db")))
	})
}

func TestChunkIndexPostgres(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Index(t, func(t *testing.T) *storetest.Desk { return newDesk(t, openTest(t, server.Database(t))) })
}

// newDesk returns the chunk index of one of two stores, beside imports by one account.
func newDesk(t testing.TB, c *Catalog) *storetest.Desk {
	var id int64
	if err := c.writer.QueryRowContext(t.Context(), `SELECT store_id FROM region WHERE slug = 'nyc3'`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, c: c, account: c.account(t, "desk", image.Quota{}), claims: make(chan map[string]image.Claim, 1)}
	d.claims <- map[string]image.Claim{}
	return &storetest.Desk{
		Catalog: c.Index(id), Import: d.begin, Lose: d.lose, Publish: d.publish, Fail: d.fail, Delete: d.delete,
		Later: func() {
			c.do(t, `UPDATE object SET again = again - 7200000, until = until - 7200000 WHERE state = 'dead'`)
		},
		Lost: image.ErrLeaseLost,
	}
}

type desk struct {
	t       testing.TB
	c       *Catalog
	account int64
	claims  chan map[string]image.Claim // by lease; held by one at a time
}

func (d *desk) begin() store.Owner {
	claims := <-d.claims
	defer func() { d.claims <- claims }()
	d.c.create(d.t, d.account, "i")
	return d.claim(claims)
}

func (d *desk) claim(claims map[string]image.Claim) store.Owner {
	claim := d.c.claim(d.t)
	claims[claim.Lease] = claim
	return store.Owner{Import: claim.ImageID, Lease: claim.Lease}
}

func (d *desk) take(o store.Owner) image.Claim {
	claims := <-d.claims
	defer func() { d.claims <- claims }()
	return claims[o.Lease]
}

func (d *desk) lose(o store.Owner) store.Owner {
	if err := d.c.Release(d.t.Context(), d.take(o)); err != nil {
		d.t.Fatal(err)
	}
	claims := <-d.claims
	defer func() { d.claims <- claims }()
	return d.claim(claims)
}

func (d *desk) publish(o store.Owner, w store.Written) (int64, error) {
	return o.Import, d.c.Publish(d.t.Context(), d.take(o), image.Progress{}, w)
}

func (d *desk) fail(o store.Owner) {
	if err := d.c.Fail(d.t.Context(), d.take(o), "x", "It failed."); err != nil {
		d.t.Error(err)
	}
}

func (d *desk) delete(id int64) {
	if err := d.c.DeleteImage(d.t.Context(), d.account, id); err != nil {
		d.t.Error(err)
	}
}

// A sweep that comes while a pack is being pinned waits, and then sees the pin.
func testPinBesideCondemn(t *testing.T, c *Catalog) {
	d := newDesk(t, c)
	first, second := d.Import(), d.Import()
	entry := store.Entry{Digest: store.Digest{1}, Location: store.Location{Pack: "packs/a", Offset: 16, Stored: 1, Length: 1}}
	if err := d.Begin(t.Context(), first, store.KindPack, "packs/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Add(t.Context(), first, "packs/a", 100, []store.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	d.Fail(first)
	swept := make(chan error)
	err := c.write(t.Context(), func(x *tx) error {
		found, err := ids(t.Context(), x, `SELECT id FROM object WHERE name = 'packs/a'`)
		if err != nil {
			return err
		}
		if live, err := lockLive(t.Context(), x, found); err != nil || len(live) != 1 {
			t.Errorf("lockLive = %v, %v", live, err)
		}
		go func() {
			_, err := d.Condemn(t.Context())
			swept <- err
		}()
		time.Sleep(200 * time.Millisecond) // Condemn has found the pack, unpinned, and waits for its lock
		return insertPins(t.Context(), x, second.Import, found)
	})
	if err := errors.Join(err, <-swept); err != nil {
		t.Fatal(err)
	}
	if found, err := d.Find(t.Context(), second, []store.Digest{entry.Digest}); err != nil || found[0] != entry.Location {
		t.Errorf("the pinned chunk is at %+v, %v", found[0], err)
	}
}

// A publication that comes while a repair ends a pack that it relies on waits, and is refused.
func testPublishBesideMend(t *testing.T, c *Catalog) {
	d := newDesk(t, c)
	o := d.Import()
	entry := store.Entry{Digest: store.Digest{1}, Location: store.Location{Pack: "packs/a", Offset: 16, Stored: 1, Length: 1}}
	if err := d.Begin(t.Context(), o, store.KindPack, "packs/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Add(t.Context(), o, "packs/a", 100, []store.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(t.Context(), o, store.KindManifest, "manifests/a"); err != nil {
		t.Fatal(err)
	}
	x := d.Catalog.(*ChunkIndex)
	published := make(chan error)
	err := c.write(t.Context(), func(tx *tx) error {
		source, err := x.lockOld(t.Context(), tx, "packs/a")
		if err != nil || source == 0 {
			t.Errorf("lockOld = %d, %v", source, err)
		}
		go func() {
			_, err := d.Publish(o, store.Written{Manifest: store.Digest{2}, Object: "manifests/a", Packs: map[string]int64{"packs/a": 1}})
			published <- err
		}()
		time.Sleep(200 * time.Millisecond) // Publish has found the pack, pinned and live
		return moveUsers(t.Context(), tx, source, 0)
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-published; refusal.As(err) == nil || refusal.As(err).Code != "store_repaired" {
		t.Errorf("Publish: %v", err)
	}
}

// Who keeps a pack waits for the image that is being deleted, and then sees that it has let go of the pack.
func testKeepBesideDrop(t *testing.T, c *Catalog) {
	d := newDesk(t, c)
	var images []int64
	for i := range byte(2) {
		o := d.Import()
		name := fmt.Sprint("manifests/", i)
		if i == 0 {
			if err := d.Begin(t.Context(), o, store.KindPack, "packs/a"); err != nil {
				t.Fatal(err)
			}
			entry := store.Entry{Digest: store.Digest{1}, Location: store.Location{Pack: "packs/a", Offset: 16, Stored: 1, Length: 1}}
			if _, err := d.Add(t.Context(), o, "packs/a", 100, []store.Entry{entry}); err != nil {
				t.Fatal(err)
			}
		} else if _, err := d.Find(t.Context(), o, []store.Digest{{1}}); err != nil {
			t.Fatal(err)
		}
		if err := d.Begin(t.Context(), o, store.KindManifest, name); err != nil {
			t.Fatal(err)
		}
		id, err := d.Publish(o, store.Written{Manifest: store.Digest{2 + i}, Object: name, Packs: map[string]int64{"packs/a": 1}})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, id)
	}
	sparse, err := d.Sparse(t.Context(), 10)
	if err != nil || len(sparse) != 1 {
		t.Fatalf("Sparse = %v, %v", sparse, err)
	}
	kept := make(chan error, 1)
	err = c.write(t.Context(), func(x *tx) error {
		dropped, err := ids(t.Context(), x, `DELETE FROM image_region WHERE image_id = $1 RETURNING manifest_id`, images[0])
		if err != nil {
			return err
		}
		if err := dropManifest(t.Context(), x, dropped[0]); err != nil {
			return err
		}
		go func() { kept <- d.Keep(t.Context(), sparse[0]) }()
		time.Sleep(200 * time.Millisecond)
		if len(kept) > 0 {
			t.Error("Keep did not wait")
		}
		return nil
	})
	if err := errors.Join(err, <-kept); err != nil {
		t.Fatal(err)
	}
	if sparse, err := d.Sparse(t.Context(), 10); err != nil || len(sparse) != 1 {
		t.Errorf("the pack that was let go of is looked at no more: %v, %v", sparse, err)
	}
}

// besides runs a test of two transactions on both engines.
func besides(t *testing.T, test func(*testing.T, *Catalog)) {
	t.Run("SQLite", func(t *testing.T) {
		test(t, openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db")))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		test(t, openTest(t, pgtest.Start(t).Database(t)))
	})
}

func TestPinBesideCondemn(t *testing.T) { besides(t, testPinBesideCondemn) }

func TestKeepBesideDrop(t *testing.T) { besides(t, testKeepBesideDrop) }

func TestPublishBesideMend(t *testing.T) { besides(t, testPublishBesideMend) }

// Two stores in one database know nothing of each other's chunks.
func TestChunkIndexesAreApart(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	d := newDesk(t, c)
	o := d.Import()
	if err := d.Begin(t.Context(), o, store.KindPack, "packs/a"); err != nil {
		t.Fatal(err)
	}
	digest := store.Digest(sha256.Sum256(nil))
	e := store.Entry{Digest: digest, Location: store.Location{Pack: "packs/a", Offset: 16, Stored: 1, Length: 1}}
	if _, err := d.Add(t.Context(), o, "packs/a", 100, []store.Entry{e}); err != nil {
		t.Fatal(err)
	}
	ids, err := c.SetRegions(t.Context(), map[string]string{"nyc3": "file:a", "lon1": "file:b"})
	if err != nil {
		t.Fatal(err)
	}
	for region, want := range map[string]string{"nyc3": "packs/a", "lon1": ""} {
		found, err := c.Index(ids[region]).Locate(t.Context(), []store.Digest{digest})
		if err != nil || found[0].Pack != want {
			t.Errorf("%s: the chunk is in %q, %v; want %q", region, found[0].Pack, err, want)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	c := openTest(b, "sqlite:"+filepath.Join(b.TempDir(), "catalog.db"))
	d := newDesk(b, c)
	o := d.Import()
	digest := func(n int) (d store.Digest) {
		return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	const packs, each = 100, 1000
	for p := range packs {
		name := string(rune('a'+p%26)) + string(rune('a'+p/26))
		entries := make([]store.Entry, each)
		for i := range entries {
			entries[i] = store.Entry{Digest: digest(p*each + i), Location: store.Location{Pack: name, Offset: int64(16 + i), Stored: 1, Length: 1}}
		}
		if err := d.Begin(b.Context(), o, store.KindPack, name); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Add(b.Context(), o, name, each, entries); err != nil {
			b.Fatal(err)
		}
	}
	ask := make([]store.Digest, 128)
	n := 0
	for b.Loop() {
		for i := range ask {
			n += 7919
			ask[i] = digest(n % (packs * each * 2)) // half of them unknown
		}
		if _, err := d.Find(b.Context(), o, ask); err != nil {
			b.Fatal(err)
		}
	}
}
