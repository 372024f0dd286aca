package store_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"ingot/internal/refusal"
	"ingot/internal/store"
	"ingot/internal/store/local"
)

// memory is a service that remembers its stores' marks.
type memory struct {
	name string
	mu   sync.Mutex
	mark map[int64]string
}

func (m *memory) ServiceID(context.Context) (string, error) { return m.name, nil }

func (m *memory) StoreMark(_ context.Context, id int64) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark[id], nil
}

func (m *memory) KeepStoreMark(_ context.Context, id int64, mark string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mark[id] == "" {
		m.mark[id] = mark
	}
	return m.mark[id], nil
}

func place(t *testing.T, dir string) store.Objects {
	t.Helper()
	objects, err := local.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { objects.Close() })
	return objects
}

func TestRecognise(t *testing.T) {
	one, two := &memory{name: "one", mark: map[int64]string{}}, &memory{name: "two", mark: map[int64]string{}}
	here, there := t.TempDir(), t.TempDir()
	for _, test := range []struct {
		what string
		who  *memory
		dir  string
		code string
	}{
		{"an empty place", one, here, ""},
		{"the same place", one, here, ""},
		{"another empty place by that name", one, there, "store_differs"},
		{"a place that belongs to another service", two, here, "store_taken"},
		{"a place of its own", two, there, ""},
		{"the other's place by that name", two, here, "store_differs"},
	} {
		err := store.Recognise(t.Context(), place(t, test.dir), test.who, 1, "file:x")
		code := ""
		if r := refusal.As(err); r != nil {
			code = r.Code
		}
		if code != test.code || code == "" && err != nil || code != "" && !strings.Contains(err.Error(), "file:x") {
			t.Errorf("%s: %v, want %q", test.what, err, test.code)
		}
	}
}

// Of processes that start at once with one place, all find it theirs; with two, those of one place are refused. A start
// that was cut off between its two steps spoils nothing.
func TestRecogniseAtOnce(t *testing.T) {
	m := &memory{name: "one", mark: map[int64]string{}}
	dirs := []string{t.TempDir(), t.TempDir()}
	w, err := place(t, dirs[0]).Create(t.Context(), "mark/one-cutoff")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 16)
	var starts sync.WaitGroup
	for i := range errs {
		objects := place(t, dirs[i%2])
		starts.Go(func() { errs[i] = store.Recognise(t.Context(), objects, m, 1, "file:x") })
	}
	starts.Wait()
	for i, err := range errs {
		if (err == nil) != (errs[i%2] == nil) {
			t.Errorf("start %d: %v, and start %d: %v", i, err, i%2, errs[i%2])
		}
	}
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("of two places one is the store: %v, %v", errs[0], errs[1])
	}
}
