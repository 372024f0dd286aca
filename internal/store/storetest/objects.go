// Package storetest is the conformance suite of what a store stands on: a place of objects, and a chunk index.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"ingot/internal/store"
)

// Objects checks that a place keeps the promises of store.Objects. open returns the same, empty place each time, as
// another process would see it.
func Objects(t *testing.T, open func(testing.TB) store.Objects) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Objects, store.Objects)
	}{
		{"round trip", roundTrip},
		{"missing", missing},
		{"invisible until commit", invisible},
		{"abort", abort},
		{"ended", ended},
		{"cancelled", cancelled},
		{"delete", deleted},
		{"list", listed},
		{"many at once", manyAtOnce},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t), open(t)) })
	}
}

// put makes an object.
func put(t testing.TB, o store.Objects, name string, content []byte) {
	t.Helper()
	w, err := o.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(content, 100_000) {
		if n, err := w.Write(part); err != nil || n != len(part) {
			t.Fatalf("Write(%d bytes) = %d, %v", len(part), n, err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// name returns a name that no other test uses.
func name(folder string) string { return "suite/" + folder + "/" + rand.Text() }

func content(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func roundTrip(t *testing.T, o, other store.Objects) {
	for _, n := range []int{0, 1, 4096, 100_000, 9<<20 + 5} {
		want, name := content(n), name("aa")
		put(t, o, name, want)
		if size, err := other.Stat(t.Context(), name); err != nil || size != int64(n) {
			t.Errorf("Stat of %d bytes = %d, %v", n, size, err)
		}
		got := make([]byte, n)
		if err := other.ReadAt(t.Context(), name, got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadAt of all %d bytes: %v", n, err)
		}
		for _, at := range []int{0, n / 3, n - 1} {
			if at < 0 {
				continue
			}
			part := make([]byte, min(5000, n-at))
			if err := other.ReadAt(t.Context(), name, part, int64(at)); err != nil || !bytes.Equal(part, want[at:at+len(part)]) {
				t.Errorf("ReadAt of %d bytes at %d of %d: %v", len(part), at, n, err)
			}
		}
		for _, at := range []int{n, n + 1, n + 100} {
			if err := other.ReadAt(t.Context(), name, make([]byte, 1), int64(at)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("ReadAt past the end of %d bytes, at %d: %v", n, at, err)
			}
		}
		if err := other.ReadAt(t.Context(), name, make([]byte, n+1), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("ReadAt of one byte more than %d: %v", n, err)
		}
	}
}

func missing(t *testing.T, o, _ store.Objects) {
	put(t, o, "suite/there", []byte("x"))
	for _, name := range []string{name("bb"), "suite", "suite/there/below"} {
		if err := o.ReadAt(t.Context(), name, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("ReadAt of %q: %v", name, err)
		}
		if _, err := o.Stat(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat of %q: %v", name, err)
		}
	}
	if err := o.Delete(t.Context(), name("bb")); err != nil {
		t.Errorf("Delete of what is missing: %v", err)
	}
}

// wantAbsent fails the test if any method sees the object.
func wantAbsent(t *testing.T, o store.Objects, name string) {
	t.Helper()
	if _, err := o.Stat(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of an object that must not be there: %v", err)
	}
	if err := o.ReadAt(t.Context(), name, make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadAt of an object that must not be there: %v", err)
	}
	if slices.Contains(list(t, o, ""), name) {
		t.Error("List names an object that must not be there")
	}
}

func list(t testing.TB, o store.Objects, folder string) []string {
	t.Helper()
	var names []string
	for info, err := range o.List(t.Context(), folder) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

func invisible(t *testing.T, o, other store.Objects) {
	name := name("cc")
	w, err := o.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := w.Write(content(3 << 20)); err != nil {
			t.Fatal(err)
		}
		wantAbsent(t, o, name)
		wantAbsent(t, other, name)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if size, err := other.Stat(t.Context(), name); err != nil || size != 9<<20 {
		t.Errorf("after Commit: Stat = %d, %v", size, err)
	}
}

func abort(t *testing.T, o, other store.Objects) {
	name := name("dd")
	w, err := o.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content(1 << 20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort: %v", err)
	}
	wantAbsent(t, other, name)
}

func ended(t *testing.T, o, _ store.Objects) {
	name := name("ee")
	w, err := o.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if _, err := o.Stat(t.Context(), name); err != nil {
		t.Errorf("Abort took what was committed: %v", err)
	}
	if w, err = o.Create(t.Context(), name+"x"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Abort(), w.Abort()); err != nil {
		t.Errorf("two Aborts: %v", err)
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit after Abort succeeded")
	}
	wantAbsent(t, o, name+"x")
}

func cancelled(t *testing.T, o, other store.Objects) {
	ctx, cancel := context.WithCancel(t.Context())
	name := name("ff")
	w, err := o.Create(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content(1 << 20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := w.Commit(); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit after cancel: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort after cancel: %v", err)
	}
	wantAbsent(t, other, name)
}

func deleted(t *testing.T, o, other store.Objects) {
	name := name("gg")
	put(t, o, name, content(1000))
	if err := o.ReadAt(t.Context(), name, make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	if err := o.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, o, name)
	wantAbsent(t, other, name)
	if err := other.Delete(t.Context(), name); err != nil {
		t.Errorf("second Delete: %v", err)
	}
}

func listed(t *testing.T, o, other store.Objects) {
	folder := "list-" + rand.Text()
	var want []string
	for i := range 30 {
		name := fmt.Sprintf("%s/%02d/%d", folder, i%4, i)
		put(t, o, name, make([]byte, i))
		want = append(want, name)
	}
	slices.Sort(want)
	if got := list(t, other, folder); !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	if got := list(t, other, folder+"/01"); len(got) != 8 {
		t.Errorf("List of a folder within = %q", got)
	}
	if got := list(t, other, folder+"-other"); len(got) != 0 {
		t.Errorf("List of an empty folder = %q", got)
	}
	for info, err := range other.List(t.Context(), folder) {
		if err != nil || fmt.Sprint(info.Size) != info.Name[len(folder)+4:] {
			t.Errorf("List yields %+v, %v", info, err)
		}
		if info.Size > 20 {
			break // the rest is not wanted
		}
	}
}

func manyAtOnce(t *testing.T, o, other store.Objects) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				name, want := name("hh"), content(20_000)
				put(t, o, name, want)
				got := make([]byte, len(want))
				if err := other.ReadAt(t.Context(), name, got, 0); err != nil || !bytes.Equal(got, want) {
					t.Errorf("ReadAt: %v", err)
				}
				if err := o.Delete(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
