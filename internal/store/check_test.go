package store_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/store"
)

// damaged is a store with two images, one of which is about to suffer, in a folder that the test can reach.
type damaged struct {
	*house
	database string
	folder   string
	packs    []string // of the first image alone
	image    int64
	written  store.Written
	contents []byte

	second int64 // the other image
	other  []byte
	spare  string // a pack of it
}

func newDamaged(t *testing.T) *damaged {
	return newDamagedOn(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
}

func newDamagedOn(t *testing.T, database string) *damaged {
	d := &damaged{database: database, folder: t.TempDir(), contents: guest(3<<20, 20)}
	d.house = openHouse(t, d.database, d.folder, nil)
	d.image, d.written = d.keep(whole(d.contents))
	d.packs = d.names("packs")
	d.other = guest(2<<20, 21)
	d.second, _ = d.keep(whole(d.other))
	for _, p := range d.names("packs") {
		if !slices.Contains(d.packs, p) {
			d.spare = p
		}
	}
	d.wantSound()
	return d
}

func (d *damaged) path(object string) string { return filepath.Join(d.folder, object) }

// stray is the name of a pack that is not there, in a folder that is.
func (d *damaged) stray() string {
	return d.packs[0][:len(d.packs[0])-8] + "0123abcd"
}

// change rewrites an object's file, as no store does.
func (d *damaged) change(object string, fn func([]byte) []byte) {
	d.t.Helper()
	b := must(os.ReadFile(d.path(object)))(d.t)
	if err := os.WriteFile(d.path(object), fn(b), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// codes are the sorts of damage that a check finds, each once, and the images it names.
func (d *damaged) codes() (codes []store.DamageCode, images []int64) {
	d.t.Helper()
	_, err := d.Check(d.t.Context(), func(f store.Damage) {
		if f.Detail == "" || f.Object == "" {
			d.t.Errorf("a finding that says nothing: %+v", f)
		}
		if !slices.Contains(codes, f.Code) {
			codes = append(codes, f.Code)
		}
		images = append(images, f.Images...)
	})
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Sort(codes)
	slices.Sort(images)
	return codes, slices.Compact(images)
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte {
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
}

func TestCheckFindsDamage(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*damaged)
		codes  []store.DamageCode
		image  bool // whether the first image is concerned
	}{
		{"pack missing", func(d *damaged) { os.Remove(d.path(d.packs[0])) },
			[]store.DamageCode{store.ImageIncomplete, store.PackMissing}, true},
		{"pack truncated", func(d *damaged) { d.change(d.packs[0], func(b []byte) []byte { return b[:len(b)/2] }) },
			[]store.DamageCode{store.ChunkAltered, store.ImageIncomplete, store.PackAltered}, true},
		{"pack empty", func(d *damaged) { d.change(d.packs[0], func(b []byte) []byte { return nil }) },
			[]store.DamageCode{store.ChunkAltered, store.ImageIncomplete, store.PackAltered}, true},
		{"pack longer", func(d *damaged) { d.change(d.packs[0], func(b []byte) []byte { return append(b, 0) }) },
			[]store.DamageCode{store.PackAltered}, true},
		{"bit in a chunk", func(d *damaged) { d.change(d.packs[0], flip(5000)) },
			[]store.DamageCode{store.ChunkAltered, store.ImageIncomplete}, true},
		{"bit in the table", func(d *damaged) { d.change(d.packs[0], flip(-100)) },
			[]store.DamageCode{store.PackAltered}, true},
		{"manifest missing", func(d *damaged) { os.Remove(d.path(d.written.Object)) },
			[]store.DamageCode{store.ManifestMissing}, true},
		{"bit in the manifest", func(d *damaged) { d.change(d.written.Object, flip(10)) },
			[]store.DamageCode{store.ManifestAltered}, true},
		{"bit in the manifest's root", func(d *damaged) { d.change(d.written.Object, flip(-1)) },
			[]store.DamageCode{store.ManifestAltered}, true},
		{"manifest truncated", func(d *damaged) { d.change(d.written.Object, func(b []byte) []byte { return b[:20] }) },
			[]store.DamageCode{store.ManifestAltered}, true},
		{"stray object", func(d *damaged) { os.WriteFile(d.path(d.stray()), []byte("x"), 0o600) },
			[]store.DamageCode{store.ObjectUnexpected}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDamaged(t)
			test.damage(d)
			codes, images := d.codes()
			if diff := cmp.Diff(test.codes, codes); diff != "" {
				t.Errorf("codes:\n%s", diff)
			}
			var want []int64
			if test.image {
				want = []int64{d.image}
			}
			if diff := cmp.Diff(want, images); diff != "" {
				t.Errorf("images:\n%s", diff)
			}
		})
	}
}

// What the check knows by the index: rows that lie, and chunks that have none.
func TestCheckHoldsRowsAgainstPacks(t *testing.T) {
	d := newDamaged(t)
	s := must(store.New(d.objects, &lyingIndex{d.catalog.Index(d.id), d.packs[0]}))(t)
	found := map[store.DamageCode]int{}
	if _, err := s.Check(t.Context(), func(f store.Damage) { found[f.Code]++ }); err != nil {
		t.Fatal(err)
	}
	want := map[store.DamageCode]int{store.RowWithoutChunk: 1, store.ChunkWithoutRow: 1, store.ImageIncomplete: 1}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// lyingIndex locates one chunk of a pack at another's place, and does not know a third.
type lyingIndex struct {
	store.Catalog
	pack string
}

func (l *lyingIndex) PackChunks(ctx context.Context, pack string) ([]store.Entry, error) {
	rows, err := l.Catalog.PackChunks(ctx, pack)
	if pack == l.pack {
		rows[0].Location = rows[1].Location
		rows = rows[:len(rows)-1]
	}
	return rows, err
}

func (l *lyingIndex) Locate(ctx context.Context, digests []store.Digest) ([]store.Location, error) {
	rows, err := l.Catalog.PackChunks(ctx, l.pack)
	if err != nil {
		return nil, err
	}
	found, err := l.Catalog.Locate(ctx, digests)
	for i := range digests {
		if digests[i] == rows[len(rows)-1].Digest {
			found[i] = store.Location{}
		}
	}
	return found, err
}

// What no store has made is nobody's here: another store in a folder of this one, or what shares a bucket.
func TestCheckJudgesNothingForeign(t *testing.T) {
	d := newDamaged(t)
	inner := openHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), d.path("ams3"), nil)
	id, _ := inner.keep(whole(d.contents))
	for _, name := range []string{"lost+found/x", "packs/x", "packs/ab/cd", "packs/ab/" + strings.Repeat("z", 32), "manifests/old", "mark/x"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(d.path(name)), 0o700), os.WriteFile(d.path(name), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	d.wantSound()
	if found, _ := d.repair(); len(found) > 0 {
		t.Errorf("a repair finds %v", found)
	}
	d.sweep()
	if got := must(inner.content(id))(t); !bytes.Equal(got, d.contents) {
		t.Error("the inner store's image came back changed")
	}
}

// A pack that the place does not give, while it gives others, is a finding; it is not replaced by what can be read of it.
func TestCheckGoesOnBesideTheUnreadable(t *testing.T) {
	for _, what := range []string{"pack", "manifest"} {
		d := newDamaged(t)
		bad, codes := d.packs[0], []store.DamageCode{store.ImageIncomplete, store.PackUnreadable}
		if what == "manifest" {
			bad, codes = d.written.Object, []store.DamageCode{store.ManifestUnreadable}
		}
		sick := &faults{d.objects, func(op, name string) error {
			if op == "read" && name == bad {
				return errFault
			}
			return nil
		}}
		d.Store = must(store.New(sick, d.catalog.Index(d.id)))(t)
		if _, err := d.Check(t.Context(), func(store.Damage) {}); !errors.Is(err, errFault) {
			t.Errorf("without a mark that can be read: %v", err)
		}
		w := must(d.objects.Create(t.Context(), "mark/x"))(t)
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		found, images := d.codes()
		if diff := cmp.Diff(codes, found); diff != "" || !slices.Equal(images, []int64{d.image}) {
			t.Errorf("images %v, found: %s", images, diff)
		}
		packs := d.names("packs")
		if _, err := d.CheckWith(t.Context(), store.CheckOptions{Repair: true}, func(store.Damage) {}); err != nil {
			t.Error(err)
		}
		sick.fail = func(string, string) error { return nil }
		d.repair()
		d.sweep()
		if !slices.Equal(packs, d.names("packs")) {
			t.Error("a pack that could not be read was replaced")
		}
		d.wantSound()
		if got, err := d.content(d.image); err != nil || !bytes.Equal(got, d.contents) {
			t.Errorf("the image does not read right: %v", err)
		}
	}
}

// A reader says what is damaged, and gives no byte that is not the image's.
func TestReaderNoticesDamage(t *testing.T) {
	for name, damage := range map[string]func(*damaged){
		"bit in a chunk":  func(d *damaged) { d.change(d.packs[0], flip(5000)) },
		"pack missing":    func(d *damaged) { os.Remove(d.path(d.packs[0])) },
		"pack truncated":  func(d *damaged) { d.change(d.packs[0], func(b []byte) []byte { return b[:1000] }) },
		"bit in manifest": func(d *damaged) { d.change(d.written.Object, flip(10)) },
	} {
		d := newDamaged(t)
		damage(d)
		r := openHouse(t, d.database, d.folder, nil).open(d.written) // another process: it has no file open
		for _, size := range []int{4096, 1 << 20} {
			var failed error
			buf := make([]byte, size)
			for at := 0; at < len(d.contents); at += size {
				n := min(size, len(d.contents)-at)
				if _, err := r.ReadAt(buf[:n], int64(at)); err != nil {
					failed = err
				} else if !bytes.Equal(buf[:n], d.contents[at:at+n]) {
					t.Errorf("%s: wrong bytes at %d", name, at)
				}
			}
			if failed == nil || !strings.Contains(failed.Error(), "image content is damaged") {
				t.Errorf("%s: the error is %v", name, failed)
			}
		}
	}
}

func TestOpenNeedsTheDigest(t *testing.T) {
	h := newHouse(t, nil)
	_, w := h.keep(whole(guest(1<<20, 1)))
	w.Manifest[5] ^= 1
	var damage *store.DamageError
	if _, err := h.Open(t.Context(), w.Object, w.Manifest); !errors.As(err, &damage) {
		t.Errorf("Open with another digest: %v", err)
	}
}

// A pack has a chunk with which another was first, and that other has gone: nobody needs the chunk, and that the index
// does not know it is no damage.
func TestCheckKnowsWhoWasFirst(t *testing.T) {
	x, y := guest(1<<20, 30), guest(4<<20, 31)
	var meanwhile func()
	h := newHouse(t, func(o store.Objects) store.Objects {
		return &faults{o, func(op, name string) error {
			if op == "commit" && strings.HasPrefix(name, "packs") && meanwhile != nil {
				do := meanwhile
				meanwhile = nil
				do()
			}
			return nil
		}}
	})
	var first int64
	meanwhile = func() { first, _ = h.keep(whole(x)) }
	c := h.claim()
	w := must(h.Write(t.Context(), owner(c), whole(slices.Concat(y, x)), nil))(t)
	if err := h.publish(c, w); err != nil {
		t.Fatal(err)
	}
	h.keep(whole(y))
	h.wantSound()
	h.delete(first)
	h.delete(c.ImageID)
	h.sweep()
	h.wantSound()
	if found, _ := h.repair(); len(found) > 0 {
		t.Errorf("a repair finds %v", found)
	}
	h.wantSound()
}
