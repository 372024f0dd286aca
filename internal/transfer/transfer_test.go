package transfer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
	"ingot/internal/store/local"
	"ingot/internal/transfer"
)

// world is a catalogue with three stores, and a worker that copies between them.
type world struct {
	*catalog.Catalog
	t       *testing.T
	account int64
	ids     map[string]int64 // of stores, by region
	folders map[int64]string
	stores  map[int64]*store.Store
	faults  *faults
	worker  *transfer.Worker
	log     *bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, stores: map[int64]*store.Store{}, folders: map[int64]string{}, faults: &faults{}, log: &bytes.Buffer{}}
	var err error
	if w.Catalog, err = catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), catalog.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if w.ids, err = w.SetRegions(t.Context(), map[string]string{"nyc3": "file:a", "lon1": "file:b", "sgp1": "file:c"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range w.ids {
		w.folders[id] = t.TempDir()
		files, err := local.Open(w.folders[id])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { files.Close() })
		if w.stores[id], err = store.New(&faulty{files, id, w.faults}, w.Index(id)); err != nil {
			t.Fatal(err)
		}
	}
	a, err := w.CreateAccount(t.Context(), image.Account{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	w.account = a.ID
	w.worker = &transfer.Worker{
		Stores:  func(id int64) (*store.Store, error) { return w.stores[id], nil },
		Catalog: w.Replications(), Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	return w
}

// faults are what the stores' objects meet.
type faults struct {
	mu   sync.Mutex
	meet func(storeID int64, op, name string) error
}

func (f *faults) at(id int64, op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.meet == nil {
		return nil
	}
	return f.meet(id, op, name)
}

func (w *world) meet(fn func(storeID int64, op, name string) error) {
	w.faults.mu.Lock()
	defer w.faults.mu.Unlock()
	w.faults.meet = fn
}

type faulty struct {
	store.Objects
	id int64
	f  *faults
}

func (o *faulty) Create(ctx context.Context, name string) (store.ObjectWriter, error) {
	if err := o.f.at(o.id, "create", name); err != nil {
		return nil, err
	}
	return o.Objects.Create(ctx, name)
}

func (o *faulty) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	if err := o.f.at(o.id, "read", name); err != nil {
		return err
	}
	return o.Objects.ReadAt(ctx, name, p, off)
}

// disk is one of data alone.
type disk struct{ *bytes.Reader }

func (d disk) NextData(off int64) (start, end int64, err error) {
	if off >= d.Size() {
		return 0, 0, io.EOF
	}
	return off, d.Size(), nil
}

// keep imports a disk to nyc3.
func (w *world) keep(data []byte) image.Image {
	w.t.Helper()
	ctx := w.t.Context()
	m, err := w.CreateImage(ctx, w.account, image.Create{Name: "i", URL: "https://example.com/i", Region: "nyc3"}, image.IdempotencyKey{})
	if err != nil {
		w.t.Fatal(err)
	}
	claim, err := w.Claim(ctx, "w", time.Hour)
	if err != nil || claim == nil {
		w.t.Fatal(claim, err)
	}
	written, err := w.stores[w.ids["nyc3"]].Write(ctx, store.Owner{Import: claim.ImageID, Lease: claim.Lease}, disk{bytes.NewReader(data)}, nil)
	if err == nil {
		err = w.Publish(ctx, *claim, image.Progress{}, written)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m, err = w.Image(ctx, w.account, m.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// transfer queues a transfer and claims it.
func (w *world) transfer(id int64, region string) image.Claim {
	w.t.Helper()
	if _, err := w.Act(w.t.Context(), w.account, id, image.Act{Type: image.Transfer, Region: region}); err != nil {
		w.t.Fatal(err)
	}
	return w.claim()
}

func (w *world) claim() image.Claim {
	w.t.Helper()
	claim, err := w.Replications().Claim(w.t.Context(), "w", time.Hour)
	if err != nil || claim == nil {
		w.t.Fatal(claim, err)
	}
	return *claim
}

// copied runs a transfer to its good end.
func (w *world) copied(claim image.Claim) {
	w.t.Helper()
	if err := w.worker.Run(w.t.Context(), claim); err != nil {
		w.t.Fatal(err)
	}
}

// report returns what is known of a transfer.
func (w *world) report(claim image.Claim) catalog.Replication {
	w.t.Helper()
	all, err := w.ListReplications(w.t.Context(), time.Hour, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range all {
		if r.Action.ID == claim.Action {
			return r
		}
	}
	w.t.Fatalf("there is no transfer %d", claim.Action)
	return catalog.Replication{}
}

// open opens an image as the service does.
func (w *world) open(id int64, failed func(int, error)) *store.Replicated {
	w.t.Helper()
	c, err := w.Content(w.t.Context(), w.account, id)
	if err != nil {
		w.t.Fatal(err)
	}
	var digest store.Digest
	if _, err := hex.Decode(digest[:], []byte(c.Digest)); err != nil {
		w.t.Fatal(err)
	}
	var replicas []store.Replica
	for _, p := range c.Places() {
		replicas = append(replicas, store.Replica{Store: w.stores[p.StoreID], Object: p.Object})
	}
	d, err := store.OpenReplicated(w.t.Context(), digest, replicas, failed)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) wantSound(region string) {
	w.t.Helper()
	_, err := w.stores[w.ids[region]].Check(w.t.Context(), func(d store.Damage) { w.t.Errorf("%s: damage %+v", region, d) })
	if err != nil {
		w.t.Error(err)
	}
}

// packs are the names of a store's packs.
func (w *world) packs(region string) []string {
	w.t.Helper()
	found, err := filepath.Glob(filepath.Join(w.folders[w.ids[region]], "packs", "*", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestCopy(t *testing.T) {
	w := newWorld(t)
	data := random(9 << 20)
	clear(data[3<<20 : 5<<20])
	copy(data[8<<20:], data[:1<<20])
	m := w.keep(data)
	claim := w.transfer(m.ID, "lon1")
	w.copied(claim)
	if m, err := w.Image(t.Context(), w.account, m.ID); err != nil || fmt.Sprint(m.Regions) != "[lon1 nyc3]" {
		t.Fatalf("%+v, %v", m, err)
	}
	// What is read now comes from the second store alone.
	if err := os.RemoveAll(w.folders[w.ids["nyc3"]]); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(w.open(m.ID, func(int, error) {}), 0, 1<<40))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("the copy has %d bytes, and differs: %v", len(got), err)
	}
	r := w.report(claim)
	if r.State != "done" || r.GuestBytes != r.GuestSize || r.SharedBytes == 0 || r.StoredBytes+r.SharedBytes != r.DataBytes {
		t.Errorf("the report %+v", r)
	}
	w.wantSound("lon1")
}

// Only what the target lacks is copied, whoever brought the rest.
func TestCopyOfWhatIsThere(t *testing.T) {
	w := newWorld(t)
	data := random(6 << 20)
	w.copied(w.transfer(w.keep(data).ID, "lon1"))
	before := len(w.packs("lon1"))
	var reads int
	w.meet(func(id int64, op, name string) error {
		if id == w.ids["nyc3"] && op == "read" && strings.HasPrefix(name, "packs") {
			reads++
		}
		return nil
	})
	same := w.transfer(w.keep(data).ID, "lon1")
	w.copied(same)
	if r := w.report(same); r.StoredBytes != 0 || reads != 0 || len(w.packs("lon1")) != before {
		t.Errorf("of content that was there %d bytes were copied, by %d reads: %+v", r.StoredBytes, reads, r)
	}
	rand.Read(data[:1<<20])
	changed := w.transfer(w.keep(data).ID, "lon1")
	w.copied(changed)
	if r := w.report(changed); r.StoredBytes < 1<<20 || r.StoredBytes > 2<<20 {
		t.Errorf("of an image of which 1 MB is new %d bytes were copied", r.StoredBytes)
	}
	w.wantSound("lon1")
}

// What an attempt made known is held for the next, and not copied again.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	data := random(80 << 20)
	m := w.keep(data)
	claim := w.transfer(m.ID, "lon1")
	packs := 0
	w.meet(func(id int64, op, name string) error {
		if id == w.ids["lon1"] && op == "create" && strings.HasPrefix(name, "packs") {
			if packs++; packs == 2 {
				return errors.New("the power fails")
			}
		}
		return nil
	})
	if why := refusal.As(w.worker.Run(t.Context(), claim)); why == nil || !why.Temporary || why.Code != "store_failed" {
		t.Fatalf("%v", why)
	}
	w.meet(nil)
	if err := w.ReleaseAll(t.Context()); err != nil { // as the service does when it starts
		t.Fatal(err)
	}
	kept := w.packs("lon1")
	if _, err := w.stores[w.ids["lon1"]].Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := w.packs("lon1"); len(kept) == 0 || fmt.Sprint(now) != fmt.Sprint(kept) {
		t.Errorf("a sweep left %v of %v", now, kept)
	}
	if err := w.worker.Run(t.Context(), claim); !errors.Is(err, image.ErrLeaseLost) {
		t.Errorf("under the old lease: %v", err)
	}
	again := w.claim()
	w.copied(again)
	if r := w.report(again); r.SharedBytes < 32<<20 || r.StoredBytes+r.SharedBytes != 80<<20 {
		t.Errorf("after 32 MB were copied %d were, and %d were there", r.StoredBytes, r.SharedBytes)
	}
	w.wantSound("lon1")
}

// Deleting the image ends its transfer and frees what that wrote.
func TestDeleted(t *testing.T) {
	w := newWorld(t)
	m := w.keep(random(40 << 20))
	claim := w.transfer(m.ID, "lon1")
	var once sync.Once
	w.meet(func(id int64, op, name string) error {
		if id == w.ids["lon1"] && op == "create" {
			once.Do(func() {
				if err := w.DeleteImage(context.Background(), w.account, m.ID); err != nil {
					t.Error(err)
				}
			})
		}
		return nil
	})
	if err := w.worker.Run(t.Context(), claim); !errors.Is(err, image.ErrLeaseLost) {
		t.Errorf("%v", err)
	}
	if _, err := w.stores[w.ids["lon1"]].Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := w.packs("lon1"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if a, err := w.Action(t.Context(), w.account, claim.Action); err != nil || a.Status != image.Errored {
		t.Errorf("%+v, %v", a, err)
	}
}

// A source that fails half way is given up for another.
func TestSecondSource(t *testing.T) {
	w := newWorld(t)
	data := random(5 << 20)
	m := w.keep(data)
	w.copied(w.transfer(m.ID, "lon1"))
	w.meet(func(id int64, op, name string) error {
		if id == w.ids["lon1"] && op == "read" && strings.HasPrefix(name, "packs") {
			return fs.ErrPermission
		}
		return nil
	})
	w.copied(w.transfer(m.ID, "sgp1"))
	if !strings.Contains(w.log.String(), "permission denied") {
		t.Errorf("the log does not say what failed: %s", w.log)
	}
	w.wantSound("sgp1")
}

// Where no store has it whole, that is said, and it is final.
func TestDamaged(t *testing.T) {
	w := newWorld(t)
	m := w.keep(random(5 << 20))
	for _, p := range w.packs("nyc3") {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2]++
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	why := refusal.As(w.worker.Run(t.Context(), w.transfer(m.ID, "lon1")))
	if why == nil || why.Temporary || why.Code != "content_damaged" || !strings.Contains(why.Message, "ingot fsck") {
		t.Errorf("%+v", why)
	}
}

// Reads go on from another store, whatever a store loses while it is read, and the failure is told.
func TestReadFailover(t *testing.T) {
	w := newWorld(t)
	data := random(6 << 20)
	m := w.keep(data)
	w.copied(w.transfer(m.ID, "lon1"))
	for _, lose := range []string{"packs", "manifests"} {
		t.Run(lose, func(t *testing.T) {
			var failed []error
			d := w.open(m.ID, func(_ int, err error) { failed = append(failed, err) })
			half := make([]byte, len(data)/2)
			if _, err := d.ReadAt(half, 0); err != nil || !bytes.Equal(half, data[:len(half)]) || len(failed) > 0 {
				t.Fatalf("%v %v", err, failed)
			}
			var asked []int64
			w.meet(func(id int64, op, name string) error {
				asked = append(asked, id)
				if id == asked[0] && strings.HasPrefix(name, lose) {
					return fs.ErrNotExist
				}
				return nil
			})
			defer w.meet(nil)
			var manifest, want bytes.Buffer
			if err := d.Manifest().WriteRange(t.Context(), &manifest, 0, d.Manifest().Size()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.ReadAt(half, int64(len(half))); err != nil || !bytes.Equal(half, data[len(half):]) {
				t.Fatalf("%v", err)
			}
			if len(failed) == 0 {
				t.Error("nobody was told")
			}
			w.meet(nil)
			whole := w.open(m.ID, func(int, error) {}).Manifest()
			if err := whole.WriteRange(t.Context(), &want, 0, whole.Size()); err != nil || !bytes.Equal(manifest.Bytes(), want.Bytes()) {
				t.Errorf("the manifest differs: %v", err)
			}
		})
	}
}

// A client that is gone is no store's failure.
func TestReadNoFailover(t *testing.T) {
	w := newWorld(t)
	m := w.keep(random(1 << 20))
	w.copied(w.transfer(m.ID, "lon1"))
	gone := errors.New("the client is gone")
	d := w.open(m.ID, func(_ int, err error) { t.Errorf("failover: %v", err) })
	err := d.Manifest().WriteRange(t.Context(), writer(func([]byte) (int, error) { return 0, gone }), 0, d.Manifest().Size())
	if !errors.Is(err, gone) {
		t.Error(err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
