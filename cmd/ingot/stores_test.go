package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/store"
)

// Stores that have failed lately are asked last; what is wrong with one image's content is no failure of the store.
func TestFailures(t *testing.T) {
	f := failures{at: map[int64]time.Time{}}
	places := func() (ids []int64) {
		for _, p := range f.last([]image.Place{{StoreID: 1}, {StoreID: 2}, {StoreID: 3}}) {
			ids = append(ids, p.StoreID)
		}
		return ids
	}
	want := func(what string, order ...int64) {
		t.Helper()
		for i, id := range places() {
			if id != order[i] {
				t.Errorf("%s: %v, want %v", what, places(), order)
				return
			}
		}
	}
	f.note(1, &store.DamageError{})
	f.note(1, fs.ErrNotExist)
	want("damage", 1, 2, 3)
	f.note(1, errors.New("no answer"))
	want("a failure", 2, 3, 1)
	f.note(2, errors.New("no answer"))
	want("two failures", 3, 1, 2)
	f.at[1] = time.Now().Add(-failedFor)
	want("later", 1, 3, 2)
}

// An image in two stores is read from the one that is open; a former store that is gone fails nothing else.
func TestAStoreThatIsNotOpen(t *testing.T) {
	data := t.TempDir()
	cat, err := catalog.Open(t.Context(), "sqlite:"+data+"/catalog.db", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	if _, err := cat.SetRegions(t.Context(), map[string]string{"nyc3": "file:store", "ams3": "file:/dev/null/gone"}); err != nil {
		t.Fatal(err)
	}
	if _, err := openStores(t.Context(), cat, data); err == nil {
		t.Error("a store of a region that cannot be opened is no error")
	}
	ids, err := cat.SetRegions(t.Context(), map[string]string{"nyc3": "file:store"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStores(t.Context(), cat, data)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.sweep(t.Context()); err != nil || s.gone() == nil {
		t.Errorf("sweep: %v; gone: %v", err, s.gone())
	}
	there := ids["nyc3"]
	var gone int64
	for id := range s.missing {
		gone = id
	}
	digest := strings.Repeat("ab", 32)
	_, err = s.openReplicated(context.Background(), image.Content{Digest: digest, Place: image.Place{StoreID: gone, Object: "x"},
		Others: []image.Place{{StoreID: there, Object: "manifests/x"}}})
	if !errors.Is(err, fs.ErrNotExist) { // asked for, and not there: nothing was imported
		t.Errorf("with one store open: %v", err)
	}
	if _, err := s.openReplicated(context.Background(), image.Content{Digest: digest, Place: image.Place{StoreID: gone}}); err == nil || !strings.Contains(err.Error(), "not open") {
		t.Errorf("with none open: %v", err)
	}
	if _, err := s.openReplicated(context.Background(), image.Content{Digest: digest + "ab"}); err == nil {
		t.Error("a digest that is too long is taken")
	}

	// One place by two URLs.
	if _, err := cat.SetRegions(t.Context(), map[string]string{"nyc3": "file:" + data + "/store"}); err != nil {
		t.Fatal(err)
	}
	if _, err := openStores(t.Context(), cat, data); err == nil || !strings.Contains(err.Error(), "store_known") {
		t.Errorf("a store by another URL: %v", err)
	}
	if _, err := cat.SetRegions(t.Context(), map[string]string{"nyc3": "file:store"}); err != nil {
		t.Fatal(err)
	}
	again, err := openStores(t.Context(), cat, data)
	if err != nil || len(again.byID) != 1 || len(again.missing) != 1 {
		t.Errorf("by its own URL again: %+v, %v", again, err)
	}
}
