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

func (m *memory) MarkedStore(_ context.Context, mark string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, kept := range m.mark {
		if kept == mark {
			return id, nil
		}
	}
	return 0, nil
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
		id   int64
		dir  string
		code string
	}{
		{"an empty place", one, 1, here, ""},
		{"the same place", one, 1, here, ""},
		{"another empty place by that name", one, 1, there, "store_differs"},
		{"a place that belongs to another service", two, 1, here, "store_taken"},
		{"a place of its own", two, 1, there, ""},
		{"the other's place by that name", two, 1, here, "store_differs"},
		{"the same place by another name", one, 2, here, "store_known"},
	} {
		err := store.Recognise(t.Context(), place(t, test.dir), test.who, test.id, "file:x")
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

// lateMark is a place that another service marks between this one's look and its own mark.
type lateMark struct {
	store.Objects
	t *testing.T
}

func (l *lateMark) Create(ctx context.Context, name string) (store.ObjectWriter, error) {
	w, err := l.Objects.Create(ctx, "mark/two-x")
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		l.t.Error(err)
	}
	return l.Objects.Create(ctx, name)
}

// Of two services that begin with one place at once not both go on.
func TestRecogniseBesideAnotherService(t *testing.T) {
	m := &memory{name: "one", mark: map[int64]string{}}
	objects := place(t, t.TempDir())
	err := store.Recognise(t.Context(), &lateMark{objects, t}, m, 1, "file:x")
	if refusal.As(err) == nil || refusal.As(err).Code != "store_taken" || m.mark[1] != "" {
		t.Errorf("Recognise: %v", err)
	}
	for o, err := range objects.List(t.Context(), "mark") {
		if err != nil || o.Name != "mark/two-x" {
			t.Errorf("left: %v, %v", o, err)
		}
	}
}
