package catalog

import (
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/store"
)

// What a backup names is not settled: its bytes would go.
func TestHoldKeepsPacksFromBeingSettled(t *testing.T) {
	for name, database := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "catalog.db") },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Start(t).Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			c := openTest(t, database(t))
			d := newDesk(t, c)
			entry := store.Entry{Digest: store.Digest{1}, Location: store.Location{Pack: "packs/old", Offset: 16, Stored: 1000, Length: 2000, Codec: store.CodecS2}}
			o := d.Import()
			if err := d.Begin(t.Context(), o, store.KindPack, "packs/old"); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Add(t.Context(), o, "packs/old", 1000, []store.Entry{entry}); err != nil {
				t.Fatal(err)
			}
			w := store.Written{Object: "manifests/a", GuestSize: 2000, DataBytes: 2000, Packs: map[string]int64{"packs/old": 1000}}
			if err := d.Begin(t.Context(), o, store.KindManifest, w.Object); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Publish(o, w); err != nil {
				t.Fatal(err)
			}
			if packs, bytes, err := c.Unsettled(t.Context()); packs != 1 || bytes != 1000 || err != nil {
				t.Errorf("Unsettled = %d, %d, %v", packs, bytes, err)
			}
			old, err := d.ClaimUnsettled(t.Context(), true)
			if err != nil || old == nil {
				t.Fatal(old, err)
			}
			if err := d.Reserve(t.Context(), "packs/new"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Hold(t.Context(), "a backup", time.Hour); err != nil {
				t.Fatal(err)
			}
			entry.Stored, entry.Codec = 700, store.CodecZstd
			if done, err := d.Settle(t.Context(), "packs/new", 700, []store.Entry{entry}, *old); done || err != nil {
				t.Errorf("Settle under a hold = %v, %v", done, err)
			}
			if err := d.PutOff(t.Context(), "packs/old", 0); err != nil {
				t.Fatal(err)
			}
			if p, err := d.ClaimUnsettled(t.Context(), true); p != nil || err != nil {
				t.Errorf("ClaimUnsettled under a hold = %+v, %v", p, err)
			}
			if _, err := c.EndHolds(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p, err := d.ClaimUnsettled(t.Context(), true); p == nil || err != nil {
				t.Errorf("ClaimUnsettled after the hold = %v, %v", p, err)
			}
		})
	}
}
