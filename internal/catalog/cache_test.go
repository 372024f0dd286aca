package catalog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/image"
)

// Whoever wrote reads what he wrote, and nobody who reads again and again sees time go backwards, whether he asks for
// the image or for a list that it is in.
func testReadsSeeWrites(t *testing.T, c *Catalog) {
	const writers, rounds = 3, 15
	var done atomic.Bool
	var reading, writing sync.WaitGroup
	var all []*writer // each is made before any writes: to make one claims the import that waits
	for n := range writers {
		all = append(all, newWriter(t, c, fmt.Sprint("account ", n), n))
	}
	for _, w := range all {
		for range 2 {
			reading.Go(func() { w.watch(t, &done) })
		}
		writing.Go(func() {
			for i := 1; i <= rounds && !t.Failed(); i++ {
				w.write(t, i)
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
}

// writer writes to one image again and again, which is public for every second one.
type writer struct {
	c       *Catalog
	account int64
	reader  int64 // another account, if the image is public
	image   int64
	slug    string
	total   int64
}

func newWriter(t *testing.T, c *Catalog, name string, n int) *writer {
	w := &writer{c: c, account: c.account(t, name, image.Quota{}), total: 1}
	w.reader = w.account
	w.image = c.available(t, w.account, "0").ID
	if n%2 == 1 {
		w.reader, w.slug = c.account(t, name+"'s reader", image.Quota{}), fmt.Sprint("slug-", n)
		w.total = 0
		if _, err := c.MakePublic(t.Context(), w.image, image.Publication{Slug: w.slug, Kind: image.KindDistribution, Type: image.Base}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *writer) write(t *testing.T, i int) {
	name := strconv.Itoa(i)
	if _, err := w.c.UpdateImage(t.Context(), w.account, w.image, image.Update{Name: &name}); err != nil {
		t.Error(err)
	}
	for _, got := range w.names(t) {
		if got != i {
			t.Errorf("%d was written and %d read", i, got)
		}
	}
	extra := w.c.create(t, w.account, "extra")
	w.wantTotal(t, w.total+1)
	w.c.image(t, w.account, extra.ID)
	if err := w.c.DeleteImage(t.Context(), w.account, extra.ID); err != nil {
		t.Error(err)
	}
	w.wantTotal(t, w.total)
	_, err := w.c.Image(t.Context(), w.account, extra.ID)
	wantErr(t, "the deleted image", err, image.ErrNotFound)
}

func (w *writer) wantTotal(t *testing.T, want int64) {
	t.Helper()
	_, total, err := w.c.ListImages(t.Context(), w.account, image.Filter{Private: true}, image.Page{Number: 1, Size: 20})
	if err != nil || total != want {
		t.Errorf("a total of %d, %v; want %d", total, err, want)
	}
}

// names reads the image's name in every way that there is, one after the other.
func (w *writer) names(t *testing.T) []int {
	m, err := w.c.Image(t.Context(), w.reader, w.image)
	all := []image.Image{m}
	if err == nil && w.slug != "" {
		m, err = w.c.ImageBySlug(t.Context(), 0, w.slug)
		all = append(all, m)
	}
	if err != nil {
		t.Error(err)
	}
	list, _, err := w.c.ListImages(t.Context(), w.reader, image.Filter{}, image.Page{Number: 1, Size: 200})
	if err != nil {
		t.Error(err)
	}
	for _, m := range list {
		if m.ID == w.image {
			all = append(all, m)
		}
	}
	var names []int
	for _, m := range all {
		n, err := strconv.Atoi(m.Name)
		if err != nil {
			t.Error(err)
		}
		names = append(names, n)
	}
	return names
}

func (w *writer) watch(t *testing.T, done *atomic.Bool) {
	last := 0
	for !done.Load() && !t.Failed() {
		for _, n := range w.names(t) {
			if n < last {
				t.Errorf("%d was read after %d", n, last)
			}
			last = n
		}
	}
}

// changeBehind changes an image where the cache cannot notice it, so that a read shows whether it came from there.
func (c *Catalog) changeBehind(t testing.TB, id int64, name string) {
	t.Helper()
	c.do(t, `UPDATE image SET name = $1 WHERE id = $2`, name, id)
}

// What is kept is used, and what a write drops is what it may have changed and no more.
func TestCacheScopes(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	own, other := c.available(t, a, "own"), c.available(t, b, "other")
	for _, test := range []struct {
		name  string
		write func()
		keeps bool
	}{
		{"nothing", func() {}, true},
		{"progress of an import", func() {
			c.create(t, b, "x")
			claim := c.claim(t)
			c.image(t, a, own.ID)
			c.changeBehind(t, own.ID, "behind")
			if err := c.Report(ctx, claim, image.Progress{Phase: image.PhaseFetching}); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"another account's import", func() { c.create(t, b, "x") }, true},
		{"another account's update", func() { _, err := c.UpdateImage(ctx, b, other.ID, image.Update{}); wantErr(t, "update", err, nil) }, true},
		{"a token", func() {
			_, err := c.CreateToken(ctx, image.Token{AccountID: a}, [32]byte{9})
			wantErr(t, "token", err, nil)
		}, true},
		{"an import of the account's own", func() { c.create(t, a, "x") }, false},
		{"another account's image becomes public", func() {
			_, err := c.MakePublic(ctx, other.ID, image.Publication{Slug: "s", Kind: image.KindDistribution, Type: image.Base})
			wantErr(t, "publish", err, nil)
		}, false},
		{"another account's public image is updated", func() { _, err := c.UpdateImage(ctx, b, other.ID, image.Update{}); wantErr(t, "update", err, nil) }, false},
		{"another account's public image is deleted", func() { wantErr(t, "delete", c.DeleteImage(ctx, b, other.ID), nil) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c.changeBehind(t, own.ID, "before")
			c.cache.forget()
			c.image(t, a, own.ID)
			if _, _, err := c.ListImages(ctx, a, image.Filter{}, image.Page{Number: 1, Size: 1}); err != nil {
				t.Fatal(err)
			}
			c.changeBehind(t, own.ID, "behind")
			test.write()
			want := "behind"
			if test.keeps {
				want = "before"
			}
			if got := c.image(t, a, own.ID).Name; got != want {
				t.Errorf("the image %q, want %q", got, want)
			}
			list, _, err := c.ListImages(ctx, a, image.Filter{Private: true}, image.Page{Number: 1, Size: 1})
			if err != nil || len(list) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
		})
	}
}

// A read that began before a commit and ends after it leaves nothing behind for those who come later.
func TestCacheOfAReadThatACommitOvertakes(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "old")
	name := "new"
	images := func(k *cache) *recent[imageKey, image.Image] { return k.images }
	got, err := remembered(t.Context(), c, images, scope(a), imageKey{a, m.ID}, func() (image.Image, error) {
		seen, err := c.readImage(t.Context(), a, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.UpdateImage(t.Context(), a, m.ID, image.Update{Name: &name}); err != nil {
			t.Fatal(err)
		}
		return seen, nil
	})
	if err != nil || got.Name != "old" {
		t.Fatalf("%q, %v", got.Name, err)
	}
	if got := c.image(t, a, m.ID); got.Name != name {
		t.Errorf("the image %q, want %q", got.Name, name)
	}
}

// A transaction that is not committed yet is not seen, and what is read meanwhile is not kept.
func TestCacheWhileACommitIsOnItsWay(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "old")
	c.image(t, a, m.ID)
	changed := c.cache.changing(scope(a))
	c.changeBehind(t, m.ID, "new")
	if got := c.image(t, a, m.ID).Name; got != "new" {
		t.Errorf("during the commit %q was read from what is kept", got)
	}
	c.changeBehind(t, m.ID, "newer")
	changed()
	if got := c.image(t, a, m.ID).Name; got != "newer" {
		t.Errorf("after the commit %q was read, from during it", got)
	}
}

// Another process, as the command line is beside the service, is noticed within maxStale, even while this one waits for
// it to end a transaction.
func TestCacheBesideAnotherProcess(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
	service, command := openTest(t, url), openTest(t, url)
	ctx := t.Context()
	a := service.account(t, "a", image.Quota{})
	for n := range 20 {
		hash := sha256.Sum256([]byte{byte(n)})
		tok, err := command.CreateToken(ctx, image.Token{AccountID: a, Name: "t"}, hash)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := service.Authenticate(ctx, hash); err != nil {
				t.Fatalf("a new token: %v", err)
			}
		}
		if n%2 == 1 {
			service.create(t, a, "between") // its own commits hide nothing of the other's
		}
		if n%3 == 2 {
			holdUp(t, service, command, a)
		}
		if err := command.RevokeToken(ctx, a, tok.ID); err != nil {
			t.Fatal(err)
		}
		if n%4 == 3 {
			service.create(t, a, "after")
		} else {
			time.Sleep(maxStale)
		}
		_, err = service.Authenticate(ctx, hash)
		wantErr(t, fmt.Sprintf("round %d: the revoked token", n), err, image.ErrNotFound)
	}
}

// holdUp makes the service wait for the command's transaction, and reads while it does.
func holdUp(t *testing.T, service, command *Catalog, account int64) {
	var waiting sync.WaitGroup
	err := command.write(t.Context(), func(x *tx) error {
		waiting.Go(func() {
			if _, err := service.CreateImage(context.WithoutCancel(t.Context()), account, request("waits"), image.IdempotencyKey{}); err != nil {
				t.Error(err)
			}
		})
		for len(service.watch.turn) == 0 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(maxStale)
		_, _, err := service.ListImages(t.Context(), account, image.Filter{}, image.Page{Number: 1, Size: 20})
		return err
	})
	if err != nil {
		t.Error(err)
	}
	waiting.Wait()
}

// While a transaction of this process waits for the connection, others may commit: nothing kept is trusted.
func TestCacheWhileNobodyCanAsk(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
	service, command := openTest(t, url), openTest(t, url)
	a := service.account(t, "a", image.Quota{})
	tok, err := service.CreateToken(t.Context(), image.Token{AccountID: a}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Authenticate(t.Context(), [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	service.watch.turn <- struct{}{}
	defer func() { <-service.watch.turn }()
	if err := command.RevokeToken(t.Context(), a, tok.ID); err != nil {
		t.Fatal(err)
	}
	time.Sleep(maxStale)
	_, err = service.Authenticate(t.Context(), [32]byte{1})
	wantErr(t, "the revoked token", err, image.ErrNotFound)
}

// A token that is kept ends when its time comes all the same.
func TestCacheOfATokenThatExpires(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	a := c.account(t, "a", image.Quota{})
	const life = 100 * time.Millisecond
	end := time.Now().Add(life)
	if _, err := c.CreateToken(t.Context(), image.Token{AccountID: a, ExpiresAt: end}, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	for time.Now().Before(end.Add(-life / 2)) {
		if _, err := c.Authenticate(t.Context(), [32]byte{1}); err != nil && time.Now().Before(end) {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Until(end) + time.Millisecond)
	_, err := c.Authenticate(t.Context(), [32]byte{1})
	wantErr(t, "the expired token", err, image.ErrNotFound)
}

// However much is asked for, what is kept stays within its bound; and what is asked for most is kept longest.
func TestRecentIsBounded(t *testing.T) {
	const limit = 1000
	r := newRecent[int](limit, func(n int) int { return n })
	now := stamp{}
	for n := range 10_000 {
		r.put(n, now, 1+n%60)
		if n > 0 {
			if _, ok := r.get(0, now); !ok {
				t.Fatalf("what is asked for always was forgotten after %d others", n)
			}
		}
		held := 0
		for _, half := range []map[int]kept[int]{r.young, r.old} {
			for _, k := range half {
				held += k.weight
			}
		}
		if held > limit+60 {
			t.Fatalf("%d bytes are held after %d", held, n)
		}
	}
	if _, ok := r.get(5_000, now); ok {
		t.Error("what nobody asked for is still there")
	}
	r.put(-1, now, limit)
	if _, ok := r.get(-1, now); ok {
		t.Error("one that takes up everything was kept")
	}
	if _, ok := r.get(0, stamp{party: 2}); ok {
		t.Error("a value of another time was given out")
	}
}

func TestWithoutCache(t *testing.T) {
	c, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), Options{Cache: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.cache != nil {
		t.Error("something is kept")
	}
	c.account(t, "a", image.Quota{})
}
