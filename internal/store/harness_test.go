package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/store"
	"ingot/internal/store/local"
)

const region = "nyc3"

// house is a store with all that belongs to it: a catalogue and a folder.
type house struct {
	*store.Store
	t        testing.TB
	database string
	folder   string
	catalog  *catalog.Catalog
	objects  store.Objects
	account  int64
	id       int64
}

// newHouse returns an empty store. wrap, if not nil, stands between the store and its folder.
func newHouse(t testing.TB, wrap func(store.Objects) store.Objects) *house {
	t.Helper()
	return openHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), t.TempDir(), wrap)
}

// openHouse opens a store; several houses of one database and folder are as several processes.
func openHouse(t testing.TB, database, folder string, wrap func(store.Objects) store.Objects) *house {
	t.Helper()
	cat := must(catalog.Open(t.Context(), database, catalog.Options{}))(t)
	t.Cleanup(func() { cat.Close() })
	ids := must(cat.SetRegions(t.Context(), map[string]string{region: "file:store"}))(t)
	files := must(local.Open(folder))(t)
	t.Cleanup(func() { files.Close() })
	h := &house{t: t, database: database, folder: folder, catalog: cat, objects: files, id: ids[region]}
	if wrap != nil {
		h.objects = wrap(files)
	}
	h.Store = must(store.New(h.objects, cat.Index(h.id)))(t)
	accounts := must(cat.Accounts(t.Context()))(t)
	if len(accounts) > 0 {
		h.account = accounts[0].ID
		return h
	}
	h.account = must(cat.CreateAccount(t.Context(), image.Account{Name: "a", Email: "a@example.com"}))(t).ID
	return h
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// claim starts an import.
func (h *house) claim() image.Claim {
	h.t.Helper()
	must(h.catalog.CreateImage(h.t.Context(), h.account, image.Create{Name: "i", URL: "https://example.com/i", Distribution: "Debian", Region: region}, image.IdempotencyKey{}))(h.t)
	return h.reclaim()
}

// reclaim returns the next import that waits.
func (h *house) reclaim() image.Claim {
	h.t.Helper()
	c := must(h.catalog.Claim(h.t.Context(), "w", time.Minute))(h.t)
	if c == nil {
		h.t.Fatal("no import waits")
	}
	return *c
}

func owner(c image.Claim) store.Owner { return store.Owner{Import: c.ImageID, Lease: c.Lease} }

func (h *house) publish(c image.Claim, w store.Written) error {
	return h.catalog.Publish(h.t.Context(), c, image.Progress{}, w)
}

// keep imports a disk and returns the image's id with what was written.
func (h *house) keep(d store.Disk) (int64, store.Written) {
	h.t.Helper()
	c := h.claim()
	w := must(h.Write(h.t.Context(), owner(c), d, nil))(h.t)
	if err := h.publish(c, w); err != nil {
		h.t.Fatal(err)
	}
	return c.ImageID, w
}

func (h *house) delete(image int64) {
	h.t.Helper()
	if err := h.catalog.DeleteImage(h.t.Context(), h.account, image); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) sweep() store.SweepReport {
	h.t.Helper()
	return must(h.Sweep(h.t.Context()))(h.t)
}

// open opens a written disk.
func (h *house) open(w store.Written) *store.Reader {
	h.t.Helper()
	return must(h.Open(h.t.Context(), w.Object, w.Manifest))(h.t)
}

// content returns an image's bytes.
func (h *house) content(id int64) ([]byte, error) {
	c, err := h.catalog.Content(h.t.Context(), h.account, id)
	if err != nil {
		return nil, err
	}
	var digest store.Digest
	if _, err := fmt.Sscanf(c.Digest, "%x", (*hexDigest)(&digest)); err != nil {
		return nil, err
	}
	r, err := h.Open(h.t.Context(), c.Object, digest)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

type hexDigest store.Digest

func (d *hexDigest) Scan(state fmt.ScanState, _ rune) error {
	var b []byte
	if _, err := fmt.Fscanf(state, "%x", &b); err != nil {
		return err
	}
	if copy(d[:], b) != len(d) {
		return errors.New("not a digest")
	}
	return nil
}

// later makes two hours pass for what is dead.
func (h *house) later() {
	h.t.Helper()
	h.sql(`UPDATE object SET again = again - 7200000 WHERE state = 'dead'`)
}

// sql changes the catalogue behind its back.
func (h *house) sql(statements ...string) {
	h.t.Helper()
	driver, name := "pgx", h.database
	if file, ok := strings.CutPrefix(h.database, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)"
	}
	db := must(sql.Open(driver, name))(h.t)
	defer db.Close()
	for _, s := range statements {
		_, err := db.Exec(s)
		for tries := 0; err != nil && strings.Contains(err.Error(), "40P01") && tries < 20; tries++ { // a deadlock, on PostgreSQL
			_, err = db.Exec(s)
		}
		if err != nil {
			h.t.Fatal(s, err)
		}
	}
}

// names returns the names of all objects.
func (h *house) names(folder string) []string {
	h.t.Helper()
	var names []string
	for o, err := range h.objects.List(h.t.Context(), folder) {
		if err != nil {
			h.t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

// wantSound fails the test if the store has any damage.
func (h *house) wantSound() {
	h.t.Helper()
	_, err := h.Check(h.t.Context(), func(d store.Damage) { h.t.Errorf("damage: %+v", d) })
	if err != nil {
		h.t.Error(err)
	}
}

// memDisk is a disk in memory with a map.
type memDisk struct {
	data   []byte
	ranges [][2]int64
}

// whole maps all of the data.
func whole(data []byte) *memDisk {
	if len(data) == 0 {
		return &memDisk{}
	}
	return &memDisk{data, [][2]int64{{0, int64(len(data))}}}
}

// mapped maps the data by pieces of a random size, which are multiples of unit, and leaves out most that are zero.
func mapped(data []byte, unit int, rng *rand.Rand) *memDisk {
	d := &memDisk{data: data}
	for at := 0; at < len(data); {
		n := min(unit*(1+rng.IntN(40)), len(data)-at)
		if len(bytes.TrimLeft(data[at:at+n], "\x00")) > 0 || rng.IntN(4) == 0 {
			d.ranges = append(d.ranges, [2]int64{int64(at), int64(at + n)})
		}
		at += n
	}
	return d
}

func (d *memDisk) Size() int64 { return int64(len(d.data)) }

func (d *memDisk) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *memDisk) NextData(off int64) (int64, int64, error) {
	i := sort.Search(len(d.ranges), func(i int) bool { return d.ranges[i][1] > off })
	if i == len(d.ranges) {
		return 0, 0, io.EOF
	}
	return max(off, d.ranges[i][0]), d.ranges[i][1], nil
}

// guest makes a disk of the character of a system's: text, code that compresses a little, random bytes, short runs of
// zero pages and long ones.
func guest(size int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	data := make([]byte, size)
	for at := 0; at < size; {
		n := min(4096*(1+rng.IntN(60)), size-at)
		b := data[at : at+n]
		switch rng.IntN(6) {
		case 0:
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		case 1, 2:
			for i := range b {
				b[i] = "etaoin shrdlu\n{}"[rng.IntN(16)]
			}
		case 3:
			b = b[:min(n, 4096*rng.IntN(12))]
			for i := 0; i < len(b); i += 512 {
				b[i] = byte(seed)
			}
		case 4:
			copy(b, bytes.Repeat([]byte{byte(rng.Uint32()), 1, 2, 3}, n/4))
		}
		at += n
	}
	return data
}

// faults makes the objects of a store fail.
type faults struct {
	store.Objects
	fail func(op, name string) error
}

func (f *faults) Create(ctx context.Context, name string) (store.ObjectWriter, error) {
	if err := f.fail("create", name); err != nil {
		return nil, err
	}
	w, err := f.Objects.Create(ctx, name)
	return &faultyWriter{w, f, name}, err
}

func (f *faults) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	if err := f.fail("read", name); err != nil {
		return err
	}
	return f.Objects.ReadAt(ctx, name, p, off)
}

func (f *faults) Stat(ctx context.Context, name string) (int64, error) {
	if err := f.fail("stat", name); err != nil {
		return 0, err
	}
	return f.Objects.Stat(ctx, name)
}

func (f *faults) Delete(ctx context.Context, name string) error {
	if err := f.fail("delete", name); err != nil {
		return err
	}
	return f.Objects.Delete(ctx, name)
}

type faultyWriter struct {
	store.ObjectWriter
	f    *faults
	name string
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if err := w.f.fail("write", w.name); err != nil {
		return 0, err
	}
	return w.ObjectWriter.Write(p)
}

func (w *faultyWriter) Commit() error {
	if err := w.f.fail("commit", w.name); err != nil {
		return err
	}
	if err := w.ObjectWriter.Commit(); err != nil {
		return err
	}
	return w.f.fail("committed", w.name)
}
