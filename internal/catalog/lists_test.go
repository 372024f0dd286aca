package catalog

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// world is the catalogue as it should be: what every operation did, in the simplest form.
type world struct {
	c        *Catalog
	rng      *rand.Rand
	accounts []int64
	images   map[int64]*image.Image
	slugs    int
}

func testLists(t *testing.T, c *Catalog) {
	w := &world{c: c, rng: rand.New(rand.NewPCG(1, 2)), images: map[int64]*image.Image{}}
	for n := range 3 {
		w.accounts = append(w.accounts, c.account(t, fmt.Sprint("account ", n), image.Quota{}))
	}
	steps := []func(*testing.T){w.create, w.create, w.create, w.create, w.end, w.end, w.end, w.delete, w.makePublic, w.makePublic, w.retire, w.jump}
	for n := range 400 {
		steps[w.rng.IntN(len(steps))](t)
		if n%8 == 0 {
			w.compare(t)
		}
		if t.Failed() {
			t.Fatalf("after %d steps", n+1)
		}
	}
	w.pastTheEnd(t)
	if n, err := c.CheckCounters(t.Context()); err != nil || n != 0 {
		t.Errorf("CheckCounters: %d wrong, %v", n, err)
	}
}

func (w *world) create(t *testing.T) {
	var tags []string
	for _, tag := range []string{"red", "Green", "bLUE"} {
		if w.rng.IntN(3) == 0 {
			tags = append(tags, tag)
		}
	}
	m := w.c.create(t, w.accounts[w.rng.IntN(3)], "x", tags...)
	m.Tags = tags
	w.images[m.ID] = &m
}

// end brings the next import to some end.
func (w *world) end(t *testing.T) {
	claim, err := w.c.Claim(t.Context(), "w", lease)
	if err != nil {
		t.Fatal(err)
	}
	if claim == nil {
		return
	}
	m := w.images[claim.ImageID]
	switch m.Status = image.Pending; w.rng.IntN(6) {
	case 0:
		m.Status = image.Deleted
		err = w.c.Fail(t.Context(), *claim, "c", "m")
	case 1:
		err = w.c.Release(t.Context(), *claim)
	case 2:
		err = w.c.Retry(t.Context(), *claim, time.Now(), refusal.New("c", "m"))
	case 3: // its worker goes on for ever
	default:
		m.Status = image.Available
		w.c.publish(t, *claim, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pick returns a random image of which ok is true, or nil.
func (w *world) pick(ok func(*image.Image) bool) *image.Image {
	var all []*image.Image
	for _, m := range w.images {
		if ok(m) {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *image.Image) int { return cmp.Compare(a.ID, b.ID) })
	return all[w.rng.IntN(len(all))]
}

func (w *world) delete(t *testing.T) {
	if m := w.pick(func(*image.Image) bool { return true }); m != nil {
		if err := w.c.DeleteImage(t.Context(), m.AccountID, m.ID); err != nil {
			t.Fatal(err)
		}
		delete(w.images, m.ID)
	}
}

func (w *world) makePublic(t *testing.T) {
	m := w.pick(func(m *image.Image) bool { return m.Status == image.Available })
	if m == nil {
		return
	}
	w.slugs++
	p := image.Publication{
		Slug: fmt.Sprint("slug-", w.slugs), Type: image.Base,
		Kind: []string{image.KindDistribution, image.KindApplication}[w.rng.IntN(2)],
	}
	if _, err := w.c.MakePublic(t.Context(), m.ID, p); err != nil {
		t.Fatal(err)
	}
	m.Public, m.Kind = true, p.Kind
}

func (w *world) retire(t *testing.T) {
	if m := w.pick(func(m *image.Image) bool { return m.Public }); m != nil {
		if _, err := w.c.Retire(t.Context(), m.ID); err != nil {
			t.Fatal(err)
		}
		m.Status = image.Retired
	}
}

// jump leaves a gap in the ids, as others' images do, so that lists stretch over many blocks.
func (w *world) jump(t *testing.T) {
	if len(w.images) == 0 {
		return
	}
	next := int64(0)
	for id := range w.images {
		next = max(next, id+w.rng.Int64N(2*blockSize))
	}
	if w.c.d.shared {
		w.c.do(t, `SELECT setval(pg_get_serial_sequence('image', 'id'), greatest($1, nextval(pg_get_serial_sequence('image', 'id'))))`, next)
	} else {
		w.c.do(t, `UPDATE sqlite_sequence SET seq = max(seq, $1) WHERE name = 'image'`, next)
	}
}

// expected returns the ids that a filter selects, in order.
func (w *world) expected(account int64, f image.Filter) []int64 {
	var public, own []int64
	for id, m := range w.images {
		mine := m.AccountID == account
		tagged := mine && slices.ContainsFunc(m.Tags, func(tag string) bool { return strings.EqualFold(tag, f.Tag) })
		if m.Status == image.Deleted || m.Status == image.Retired || f.Kind != "" && m.Kind != f.Kind || f.Tag != "" && !tagged {
			continue
		}
		if m.Public && !f.Private {
			public = append(public, id)
		} else if mine && !m.Public {
			own = append(own, id)
		}
	}
	slices.Sort(public)
	slices.Sort(own)
	return append(append([]int64{}, public...), own...)
}

// compare reads a list to its end, page by page.
func (w *world) compare(t *testing.T) {
	t.Helper()
	account := w.accounts[w.rng.IntN(3)]
	for _, kind := range []string{"", image.KindDistribution, image.KindApplication} {
		for _, tag := range []string{"", "red", "GREEN", "none", "a\x00\xff"} {
			f := image.Filter{Kind: kind, Tag: tag, Private: w.rng.IntN(3) == 0}
			want := w.expected(account, f)
			got := []int64{}
			size := 1 + w.rng.IntN(9)
			for number := 1; number <= len(want)/size+2; number++ {
				page, total, err := w.c.ListImages(t.Context(), account, f, image.Page{Number: number, Size: size})
				if err != nil || total != int64(len(want)) {
					t.Fatalf("%+v, page %d of %d: total %d, %v; want %d", f, number, size, total, err, len(want))
				}
				if rest := len(want) - (number-1)*size; len(page) != max(min(rest, size), 0) {
					t.Errorf("%+v, page %d of %d: %d images of %d", f, number, size, len(page), total)
				}
				got = append(got, idsOf(page, func(m image.Image) int64 { return m.ID })...)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("account %d, %+v, pages of %d:\n%s", account, f, size, diff)
			}
		}
	}
}

func (w *world) pastTheEnd(t *testing.T) {
	for _, p := range []image.Page{{Number: 1000, Size: 200}, {Number: math.MaxInt, Size: 200}, {Number: math.MaxInt, Size: 1}} {
		page, total, err := w.c.ListImages(t.Context(), w.accounts[0], image.Filter{}, p)
		if want := len(w.expected(w.accounts[0], image.Filter{})); err != nil || len(page) != 0 || total != int64(want) {
			t.Errorf("%+v: %d images, total %d, %v; want %d", p, len(page), total, err, want)
		}
	}
	page, _, err := w.c.ListImages(t.Context(), w.accounts[0], image.Filter{}, image.Page{Number: -1, Size: -1})
	if err != nil || len(page) != 1 {
		t.Errorf("page -1: %d images, %v", len(page), err)
	}
}
