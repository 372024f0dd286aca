package catalog

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
	"ingot/internal/store"
)

// A backup that is taken while images are made is one state: each image with its import, none half.
func testBackup(t *testing.T, c *Catalog, database string, restore func(file string) *Catalog) {
	account := c.account(t, "a", image.Quota{})
	before := c.available(t, account, "before")
	var stop atomic.Bool
	made := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load() && n < 500; n++ {
			if _, err := c.CreateImage(t.Context(), account, request(fmt.Sprint("i", n)), image.IdempotencyKey{}); err != nil {
				t.Error(err)
				break
			}
		}
		made <- n
	}()
	file := filepath.Join(t.TempDir(), c.BackupFile())
	if _, err := c.Hold(t.Context(), "test", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := c.Backup(t.Context(), database, file); err != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	total := int64(<-made)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if err := c.Backup(t.Context(), database, file); err == nil {
		t.Error("a backup was written over another")
	}

	r := restore(file)
	if got := r.image(t, account, before.ID); got.Status != image.Available || got.Digest != before.Digest {
		t.Errorf("the image from before: %+v", got)
	}
	if n, err := r.CheckCounters(t.Context()); err != nil || n != 0 {
		t.Errorf("%d counters are wrong, %v", n, err)
	}
	var images, imports int64
	err := r.readers.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM image), (SELECT count(*) FROM import)`).Scan(&images, &imports)
	if err != nil || images != imports || images < 1 || images > total+1 {
		t.Errorf("%d images with %d imports, %v", images, imports, err)
	}
}

func TestBackup(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
		testBackup(t, openTest(t, url), url, func(file string) *Catalog { return openTest(t, "sqlite:"+file) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t)
		url := server.Database(t)
		testBackup(t, openTest(t, url), url, func(file string) *Catalog {
			empty := server.Database(t)
			if out, err := exec.Command("pg_restore", "--no-owner", "--exit-on-error", "--dbname="+empty, file).CombinedOutput(); err != nil {
				t.Fatalf("pg_restore: %v\n%s", err, out)
			}
			return openTest(t, empty)
		})
	})
}

// What is there when a hold is narrowed stays until it ends; what comes later goes as ever.
func TestHold(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	d := newDesk(t, c)
	write := func(name string) store.Owner {
		o := d.Import()
		if err := d.Begin(t.Context(), o, store.KindPack, name); err != nil {
			t.Fatal(err)
		}
		digest := store.Digest{}
		copy(digest[:], name)
		e := store.Entry{Digest: digest, Location: store.Location{Pack: name, Offset: 16, Stored: 1, Length: 1}}
		if _, err := d.Add(t.Context(), o, name, 100, []store.Entry{e}); err != nil {
			t.Fatal(err)
		}
		return o
	}
	dead := func() (names []string) {
		if _, err := d.Condemn(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := d.Dead(t.Context(), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			names = append(names, o.Name)
		}
		return names
	}
	before := write("packs/before")
	hold, err := c.Hold(t.Context(), "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	between := write("packs/between") // the hold and the backup
	d.Fail(between)
	if got := dead(); len(got) != 0 {
		t.Errorf("to be deleted before the backup is written: %q", got)
	}
	if err := c.NarrowHold(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	failed, err := c.Hold(t.Context(), "a backup that fails", 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EndHold(t.Context(), failed); err != nil {
		t.Fatal(err)
	}
	after := write("packs/after")
	d.Fail(before)
	d.Fail(after)
	if got := dead(); len(got) != 1 || got[0] != "packs/after" {
		t.Errorf("to be deleted under the hold: %q", got)
	}
	if until, n, err := c.Held(t.Context()); err != nil || n != 2 || until.Before(time.Now()) {
		t.Errorf("Held = %v, %d, %v", until, n, err)
	}
	if n, err := c.EndHolds(t.Context()); err != nil || n != 1 {
		t.Errorf("EndHolds = %d, %v", n, err)
	}
	if got := dead(); len(got) != 3 {
		t.Errorf("to be deleted after the hold: %q", got)
	}
	if until, n, err := c.Held(t.Context()); err != nil || n != 0 || !until.IsZero() {
		t.Errorf("Held in the end = %v, %d, %v", until, n, err)
	}
	if _, err := c.Hold(t.Context(), "test", time.Hour); err != nil {
		t.Fatal(err)
	}
	c.do(t, `UPDATE hold SET until = 1`)
	if got := dead(); len(got) != 3 {
		t.Errorf("to be deleted when the hold has run out: %q", got)
	}
}
