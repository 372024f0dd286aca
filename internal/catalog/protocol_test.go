//go:build !race

package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/store"
)

// memory is a place of objects in memory. Reading and deleting a pack are atoms where the actor says so.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func (m *memory) Create(_ context.Context, name string) (store.ObjectWriter, error) {
	return &memoryWriter{m: m, name: name}, nil
}

func (m *memory) put(name string, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name] = b
}

func (m *memory) get(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (m *memory) ReadAt(ctx context.Context, name string, p []byte, off int64) error {
	if strings.HasPrefix(name, "packs/") {
		gate(call(ctx, "ReadAt"))
	}
	b, err := m.get(name)
	if err != nil {
		return err
	}
	if n, _ := bytes.NewReader(b).ReadAt(p, off); n < len(p) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (m *memory) Stat(_ context.Context, name string) (int64, error) {
	b, err := m.get(name)
	return int64(len(b)), err
}

func (m *memory) Delete(ctx context.Context, name string) error {
	gate(call(ctx, "Delete"))
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

func (m *memory) List(_ context.Context, folder string) iter.Seq2[store.ObjectInfo, error] {
	return func(yield func(store.ObjectInfo, error) bool) {
		m.mu.Lock()
		all := maps.Clone(m.objects)
		m.mu.Unlock()
		for name, b := range all {
			if strings.HasPrefix(name, folder) && !yield(store.ObjectInfo{Name: name, Size: int64(len(b))}, nil) {
				return
			}
		}
	}
}

type memoryWriter struct {
	bytes.Buffer
	m    *memory
	name string
}

func (w *memoryWriter) Commit() error { w.m.put(w.name, bytes.Clone(w.Bytes())); return nil }
func (w *memoryWriter) Abort() error  { return nil }

// named tells the gate which call a transaction belongs to.
type named struct{ *ChunkIndex }

func (n named) Condemn(ctx context.Context) (int, error) {
	return n.ChunkIndex.Condemn(call(ctx, "Condemn"))
}

func (n named) Dead(ctx context.Context, after int64, limit int) ([]store.DeadObject, error) {
	return n.ChunkIndex.Dead(call(ctx, "Dead"), after, limit)
}

func (n named) Forget(ctx context.Context, ids []int64) error {
	return n.ChunkIndex.Forget(call(ctx, "Forget"), ids)
}

func (n named) Sparse(ctx context.Context, limit int) ([]store.SparsePack, error) {
	return n.ChunkIndex.Sparse(call(ctx, "Sparse"), limit)
}

func (n named) Reserve(ctx context.Context, name string) error {
	return n.ChunkIndex.Reserve(call(ctx, "Reserve"), name)
}

func (n named) Replace(ctx context.Context, pack string, size int64, entries []store.Entry, old []store.SparsePack) (bool, error) {
	return n.ChunkIndex.Replace(call(ctx, "Replace"), pack, size, entries, old)
}

func (n named) Locate(ctx context.Context, digests []store.Digest) ([]store.Location, error) {
	return n.ChunkIndex.Locate(call(ctx, "Locate"), digests)
}

func (n named) Manifests(ctx context.Context, after int64, limit int) ([]store.KeptManifest, error) {
	return n.ChunkIndex.Manifests(call(ctx, "Manifests"), after, limit)
}

func (n named) References(ctx context.Context, manifest int64) ([]string, error) {
	return n.ChunkIndex.References(call(ctx, "References"), manifest)
}

func (n named) Judge(ctx context.Context, manifest int64, damaged bool) error {
	return n.ChunkIndex.Judge(call(ctx, "Judge"), manifest, damaged)
}

// theatre is a catalogue and a store that are put back as they were before each order.
type theatre struct {
	t        testing.TB
	file     string
	template []byte
	before   map[string][]byte
	claims   []image.Claim
	images   map[int64]*disk // by the import's id: what it holds if it is available
	account  int64
	storeID  int64

	*Catalog
	index   named
	objects *memory
	store   *store.Store
}

// disk is a guest's disk in memory, all of it mapped, with what the store makes of it.
type disk struct {
	data     []byte
	pack     []byte
	entries  []store.Entry
	written  store.Written
	manifest []byte
}

func (d *disk) Size() int64 { return int64(len(d.data)) }
func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(d.data).ReadAt(p, off)
}
func (d *disk) NextData(off int64) (int64, int64, error) {
	if off >= d.Size() {
		return 0, 0, io.EOF
	}
	return off, d.Size(), nil
}

// newTheatre begins with one account and no images.
func newTheatre(t testing.TB) *theatre {
	t.Helper()
	w := &theatre{t: t, file: filepath.Join(t.TempDir(), "catalog.db"), images: map[int64]*disk{}, objects: &memory{objects: map[string][]byte{}}}
	c, err := Open(t.Context(), "sqlite:"+w.file, Options{Cache: -1})
	if err != nil {
		t.Fatal(err)
	}
	w.use(c)
	ids, err := c.SetRegions(t.Context(), map[string]string{"nyc3": "file:a"})
	if err != nil {
		t.Fatal(err)
	}
	w.storeID = ids["nyc3"]
	w.account = c.account(t, "a", image.Quota{})
	w.use(c)
	return w
}

func (w *theatre) use(c *Catalog) {
	w.Catalog, w.index = c, named{c.Index(w.storeID)}
	var err error
	if w.store, err = store.New(w.objects, w.index); err != nil {
		w.t.Fatal(err)
	}
}

// random is n bytes that do not compress.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// newDisk learns what a store makes of a disk: its pack, its chunks and its manifest.
func newDisk(t testing.TB, data []byte) *disk {
	t.Helper()
	d := &disk{data: data}
	w := newTheatre(t)
	defer w.Close()
	claim := w.running()
	var err error
	if d.written, err = w.store.Write(t.Context(), owner(claim), d, nil); err != nil {
		t.Fatal(err)
	}
	for name, b := range w.objects.objects {
		if name == d.written.Object {
			d.manifest = b
			continue
		}
		d.pack = b
		if d.entries, err = w.index.PackChunks(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// running is an import that has been claimed.
func (w *theatre) running() image.Claim {
	w.create(w.t, w.account, "i")
	return w.claim(w.t)
}

// begin is an import that is under way when the order begins.
func (w *theatre) begin(d *disk) int {
	claim := w.running()
	w.claims = append(w.claims, claim)
	w.images[claim.ImageID] = d
	return len(w.claims) - 1
}

// keep is an image that is there when the order begins.
func (w *theatre) keep(d *disk) int64 {
	w.t.Helper()
	i := w.begin(d)
	if err := w.imports(w.t.Context(), w.claims[i]); err != nil {
		w.t.Fatal(err)
	}
	return w.claims[i].ImageID
}

// loosen deletes an image whose one pack another image needs a small part of.
func (w *theatre) loosen(id int64) {
	w.t.Helper()
	if err := w.DeleteImage(w.t.Context(), w.account, id); err != nil {
		w.t.Fatal(err)
	}
	delete(w.images, id)
	if packs, err := w.index.Sparse(w.t.Context(), 10); err != nil || len(packs) != 1 {
		w.t.Fatalf("%d packs are worth rewriting, want 1: %v", len(packs), err)
	}
}

// freeze ends the setting up: from here every order begins.
func (w *theatre) freeze() {
	w.t.Helper()
	if _, err := w.writer.ExecContext(w.t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if w.template, err = os.ReadFile(w.file); err != nil {
		w.t.Fatal(err)
	}
	w.template[18], w.template[19] = 1, 1 // no write-ahead log: the file format's section 1.3, bytes 18 and 19
	w.before = w.objects.objects
}

// again puts all back as it was frozen.
func (w *theatre) again(change func(string) string) {
	w.objects.objects = maps.Clone(w.before)
	if err := os.WriteFile(w.file, w.template, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.use(connectGated(w.file, change))
}

// imports does what an import's Write and its publication do with the catalogue, step by step. Where a chunk is
// missing it writes a pack of all chunks, which the protocol allows.
func (w *theatre) imports(ctx context.Context, claim image.Claim) error {
	d, own := w.images[claim.ImageID], owner(claim)
	digests := make([]store.Digest, len(d.entries))
	for i := range digests {
		digests[i] = d.entries[i].Digest
	}
	found, err := w.index.Find(call(ctx, "Find"), own, digests)
	if err != nil {
		return err
	}
	packs := map[string]int64{}
	missing := slices.ContainsFunc(found, func(l store.Location) bool { return l.Pack == "" })
	if missing {
		added, err := w.addPack(ctx, own, d)
		if err != nil {
			return err
		}
		for i := range found {
			if found[i].Pack == "" {
				found[i] = added[i]
			}
		}
	}
	for i := range found {
		packs[found[i].Pack] += int64(found[i].Stored)
	}
	written := d.written
	written.Object, written.Packs = "manifests/"+rand.Text(), packs
	if err := w.index.Begin(call(ctx, "Begin"), own, store.KindManifest, written.Object); err != nil {
		return err
	}
	w.objects.put(written.Object, d.manifest)
	return w.Publish(call(ctx, "Publish"), claim, image.Progress{}, written)
}

func (w *theatre) addPack(ctx context.Context, own store.Owner, d *disk) ([]store.Location, error) {
	name := "packs/" + rand.Text()
	if err := w.index.Begin(call(ctx, "Begin"), own, store.KindPack, name); err != nil {
		return nil, err
	}
	w.objects.put(name, d.pack)
	entries := slices.Clone(d.entries)
	for i := range entries {
		entries[i].Pack = name
	}
	return w.index.Add(call(ctx, "Add"), own, name, int64(len(d.pack)), entries)
}

// later makes the time pass that leases of sweeps and dead objects wait for.
func (w *theatre) later(ctx context.Context) error {
	return w.writeAside(call(ctx, "later"), func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE object SET again = again - 90000000, until = until - 90000000`)
		return err
	})
}

// verify returns what is wrong at the end of an order: an available image that is not whole, or anything that is left
// when all images are deleted.
func (w *theatre) verify(ctx context.Context) (wrong []string) {
	note := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	_, err := w.store.Check(ctx, func(d store.Damage) { note("%s %s: %s, images %v", d.Code, d.Object, d.Detail, d.Images) })
	if err != nil {
		note("check: %v", err)
	}
	var available []int64
	for id, d := range w.images {
		m, err := w.Image(ctx, w.account, id)
		if err != nil || m.Status != image.Available {
			continue
		}
		available = append(available, id)
		if err := w.same(ctx, id, d); err != nil {
			note("image %d: %v", id, err)
		}
	}
	slices.Sort(available)
	for id := range w.images {
		if err := w.DeleteImage(ctx, w.account, id); err != nil && !errors.Is(err, image.ErrAlreadyDeleted) {
			note("delete image %d: %v", id, err)
		}
	}
	for range 3 { // what was never finished is condemned, deleted, and a day later deleted once more
		if _, err := w.store.Sweep(ctx); err != nil {
			note("the last sweep: %v", err)
		}
		if err := w.later(ctx); err != nil {
			note("later: %v", err)
		}
	}
	return append(wrong, w.left(ctx)...)
}

// same compares an image with its disk.
func (w *theatre) same(ctx context.Context, id int64, d *disk) error {
	c, err := w.Content(ctx, w.account, id)
	if err != nil {
		return err
	}
	r, err := w.store.Open(ctx, c.Object, d.written.Manifest)
	if err != nil {
		return err
	}
	got := make([]byte, len(d.data))
	if _, err := r.ReadAt(got, 0); err != nil {
		return err
	}
	if !bytes.Equal(got, d.data) {
		return errors.New("other bytes")
	}
	return nil
}

// left is what must not be there when everything was deleted.
func (w *theatre) left(ctx context.Context) (wrong []string) {
	for name := range w.objects.objects {
		wrong = append(wrong, "left: object "+name)
	}
	for _, table := range []string{"object", "chunk", "pin", "manifest", "manifest_pack", "loose"} {
		var n int
		if err := w.readers.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil || n > 0 {
			wrong = append(wrong, fmt.Sprintf("left: %d rows of %s, %v", n, table, err))
		}
	}
	return wrong
}

// scene is a state and the actors that begin in it.
type scene struct {
	w      *theatre
	actors []*actor
	may    func(a *actor, err error) bool // which errors are none
}

// scenes returns every scene by name. The atoms of each actor are chosen so that a scene has some thousand orders; what
// one scene runs through another takes apart.
func scenes(t testing.TB) map[string]func(testing.TB) *scene {
	big := newDisk(t, random(300_000, 1))
	small := newDisk(t, big.data[:big.entries[0].Length]) // its chunk is one of big's
	lost := func(_ *actor, err error) bool { return errors.Is(err, image.ErrLeaseLost) }
	never := func(*actor, error) bool { return false }

	sweeps := func(w *theatre, name, atoms string) *actor {
		return &actor{name: name, atoms: atoms, run: func(ctx context.Context) error { _, err := w.store.Sweep(ctx); return err }}
	}
	imports := func(w *theatre, name, atoms string, i int) *actor {
		return &actor{name: name, atoms: atoms, run: func(ctx context.Context) error { return w.imports(ctx, w.claims[i]) }}
	}
	deletes := func(w *theatre, name string, id int64) *actor {
		return &actor{name: name, run: func(ctx context.Context) error { return w.DeleteImage(call(ctx, "DeleteImage"), w.account, id) }}
	}
	passes := func(w *theatre, name string) *actor { return &actor{name: name, run: w.later} }

	return map[string]func(testing.TB) *scene{
		// An import finds all it needs in a pack whose last image is deleted and swept.
		"find and sweep": func(t testing.TB) *scene {
			w := newTheatre(t)
			first, next := w.keep(big), w.begin(big)
			w.freeze()
			return &scene{w, []*actor{imports(w, "import", " Find Add Publish ", next), deletes(w, "delete", first),
				sweeps(w, "sweep", " Condemn Delete ")}, never}
		},
		// Two imports bring the same chunks; one image is deleted at once.
		"two imports": func(t testing.TB) *scene {
			w := newTheatre(t)
			one, two := w.begin(big), w.begin(big)
			w.freeze()
			brief := imports(w, "first", " Find Add Publish DeleteImage ", one)
			brief.run = func(ctx context.Context) error {
				return errors.Join(w.imports(ctx, w.claims[one]),
					w.DeleteImage(call(ctx, "DeleteImage"), w.account, w.claims[one].ImageID))
			}
			return &scene{w, []*actor{brief, imports(w, "second", " Add Publish ", two), sweeps(w, "sweep", " Condemn ")}, never}
		},
		// A pack of which little is used is rewritten, while an import finds in it what is about to be dropped, …
		"find and rewrite": func(t testing.TB) *scene {
			w := newTheatre(t)
			first := w.keep(big)
			w.keep(small)
			next := w.begin(big)
			w.loosen(first)
			w.freeze()
			return &scene{w, []*actor{imports(w, "import", " Find Add Publish ", next), sweeps(w, "sweep", " Sparse Replace ")}, never}
		},
		// … and while its last image is deleted.
		"delete and rewrite": func(t testing.TB) *scene {
			w := newTheatre(t)
			first, second, next := w.keep(big), w.keep(small), w.begin(big)
			w.loosen(first)
			w.freeze()
			return &scene{w, []*actor{imports(w, "import", " Find Publish ", next), deletes(w, "delete", second),
				sweeps(w, "sweep", " Replace ")}, never}
		},
		// A reader has the place of a chunk in mind whose pack is rewritten and deleted.
		"read and rewrite": func(t testing.TB) *scene {
			w := newTheatre(t)
			first, second := w.keep(big), w.keep(small)
			w.freeze()
			reads := &actor{name: "read", atoms: " Locate ReadAt ", run: func(ctx context.Context) error {
				return w.same(ctx, second, small)
			}}
			return &scene{w, []*actor{reads, deletes(w, "delete", first), sweeps(w, "sweep", " Condemn Sparse Replace Delete ")}, never}
		},
		// A worker loses its lease, another takes its import over, and a sweep takes what the first left.
		"lost lease": func(t testing.TB) *scene {
			w := newTheatre(t)
			one := w.begin(big)
			w.freeze()
			next := &actor{name: "second", atoms: " expire Find Add Publish ", run: func(ctx context.Context) error {
				err := w.write(call(ctx, "expire"), func(t *tx) error {
					_, err := t.exec(ctx, `UPDATE import SET lease_until = 1 WHERE state = 'running'`)
					return err
				})
				if err != nil {
					return err
				}
				claim, err := w.Claim(call(ctx, "Claim"), "w2", time.Hour)
				if err != nil || claim == nil {
					return err // the first has published before its lease ran out
				}
				return w.imports(ctx, *claim)
			}}
			return &scene{w, []*actor{imports(w, "first", " Find Add Publish ", one), next, sweeps(w, "sweep", " Condemn ")},
				func(a *actor, err error) bool { return a.name == "first" && lost(a, err) }}
		},
		// Two sweeps rewrite the same pack, and one is so slow that its hour runs out.
		"two sweeps": func(t testing.TB) *scene {
			w := newTheatre(t)
			first := w.keep(big)
			w.keep(small)
			w.loosen(first)
			w.freeze()
			return &scene{w, []*actor{sweeps(w, "sweep", " Sparse Reserve Replace "), sweeps(w, "other", " Condemn "), passes(w, "clock")},
				func(_ *actor, err error) bool { return strings.Contains(err.Error(), "took too long to write") }}
		},
		// A repair replaces a damaged pack while an import counts on it.
		"repair": func(t testing.TB) *scene {
			w := newTheatre(t)
			w.keep(big)
			next := w.begin(big)
			for name, b := range w.objects.objects {
				if strings.HasPrefix(name, "packs/") {
					b = slices.Clone(b)
					b[len(b)/2] ^= 1
					w.objects.objects[name] = b
				}
			}
			w.freeze()
			// Packs are checked several at once, so that this part of a check is one atom.
			repairs := &actor{name: "repair", atoms: " packs References Judge ", run: func(ctx context.Context) error {
				gate(call(ctx, "packs"))
				_, err := w.store.CheckWith(ctx, store.CheckOptions{Repair: true}, func(store.Damage) {})
				return err
			}}
			return &scene{w, []*actor{imports(w, "import", " Find Add Publish ", next), repairs},
				func(a *actor, err error) bool {
					return a.name == "import" && strings.Contains(err.Error(), "store_repaired")
				}}
		},
	}
}

// explore runs a scene in every order and returns how many there are, and the first that ends wrong.
func (s *scene) explore(t testing.TB, change func(string) string) (orders int, wrong string) {
	order := &schedule{}
	for {
		s.w.again(change)
		trace := order.play(t.Context(), s.actors)
		orders++
		var bad []string
		for _, a := range s.actors {
			if a.err != nil && !s.may(a, a.err) {
				bad = append(bad, fmt.Sprintf("%s: %v", a.name, a.err))
			}
		}
		bad = append(bad, s.verify(t)...)
		if err := s.w.Close(); err != nil {
			t.Fatal(err)
		}
		if len(bad) > 0 {
			return orders, fmt.Sprintf("in the order %s:\n%s", strings.Join(trace, " "), strings.Join(bad, "\n"))
		}
		if !order.next() {
			return orders, ""
		}
	}
}

// verify ignores what a repair has told already: that an image is not whole which nobody is served.
func (s *scene) verify(t testing.TB) (bad []string) {
	for _, wrong := range s.w.verify(t.Context()) {
		if !strings.HasPrefix(wrong, string(store.ImageIncomplete)) || !slices.ContainsFunc(s.actors, func(a *actor) bool { return a.name == "repair" }) {
			bad = append(bad, wrong)
		}
	}
	return bad
}

// No order of the actors ends with an image that is not whole, or with anything left.
func TestEveryOrder(t *testing.T) {
	for name, open := range scenes(t) {
		t.Run(name, func(t *testing.T) {
			orders, wrong := open(t).explore(t, unchanged)
			if wrong != "" {
				t.Errorf("order %d ends wrong, %s", orders, wrong)
			}
			if orders < 10 {
				t.Errorf("only %d orders: the scene shows nothing", orders)
			}
			t.Logf("%s: %d orders", name, orders)
		})
	}
}

// With any one guard taken away, an order is found that ends wrong: the test above can fail.
func TestEveryGuardIsNeeded(t *testing.T) {
	all := scenes(t)
	for _, test := range []struct{ name, scene, text, instead string }{
		{"a sweep ends packs that are pinned", "find and sweep", `NOT EXISTS (SELECT 1 FROM pin p WHERE p.object_id = o.id)`, `TRUE`},
		{"an import pins packs that have ended", "find and sweep", `) AND state = 'live' ORDER BY id`, `) ORDER BY id`},
		{"a rewriting does not look for pins", "find and rewrite", `SELECT EXISTS (SELECT 1 FROM pin WHERE object_id = $1)`, `SELECT $1 < 0`},
		{"a sweep takes what is being written", "two imports", `WHERE i.image_id = o.import_id AND i.lease = o.lease AND i.state = 'running'`, `WHERE FALSE`},
		{"a worker that lost its lease publishes", "lost lease", `WHERE image_id = $1 AND lease = $2 AND state = 'running'`, `WHERE image_id = $1 AND state = 'running' AND $2 <> ''`},
		{"a repair leaves the pins of what it replaces", "repair", `DELETE FROM pin WHERE object_id = $1`, `DELETE FROM pin WHERE object_id = -$1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var done atomic.Int64
			change := without(&done, test.text, test.instead)
			if strings.HasPrefix(test.name, "a sweep ends") {
				// It looks twice, for the sake of PostgreSQL.
				change = func(q string) string {
					return strings.ReplaceAll(without(&done, test.text, test.instead)(q), `SELECT EXISTS (SELECT 1 FROM pin WHERE object_id = $1)`, `SELECT ($1 < 0)`)
				}
			}
			orders, wrong := all[test.scene](t).explore(t, change)
			if done.Load() == 0 {
				t.Fatal("no statement has the guard: the test takes nothing away")
			}
			if wrong == "" {
				t.Fatalf("none of %d orders ends wrong", orders)
			}
			t.Logf("order %d, %s", orders, wrong)
		})
	}
}
