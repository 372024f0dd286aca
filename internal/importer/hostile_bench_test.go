package importer_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/importer"
	"ingot/internal/queue"
	"ingot/internal/source"
	"ingot/internal/store"
	"ingot/internal/store/local"
)

// patience is how long a test waits for what should come; it asserts nothing about speed.
const patience = 2 * time.Minute

// bench is the real import, whole: SQLite, a store in a folder, the queue, and a web server to import from.
type bench struct {
	t       *testing.T
	cat     *catalog.Catalog
	kept    *store.Store
	account int64
	store   string // folder
	scratch string // folder
	origin  *httptest.Server
	runner  *queue.Runner
	log     *lockedBuffer

	mu    sync.Mutex
	files map[string]http.HandlerFunc
}

// options of a bench; the zero value will do.
type options struct {
	objects     func(store.Objects) store.Objects // wraps the place of objects
	dir         string                            // the data directory; "": a temporary one
	database    string                            // file; "": in the data directory
	maxSize     int64
	maxAttempts int
	workers     int // 0: 2
	quota       image.Quota
	limits      source.Limits // those of a wait are a test's in any case
}

func newBench(t *testing.T, opt options) *bench {
	t.Helper()
	dir := opt.dir
	if dir == "" {
		dir = t.TempDir()
	}
	if opt.database == "" {
		opt.database = filepath.Join(dir, "catalog.db")
	}
	b := &bench{
		t: t, store: filepath.Join(dir, "store"), scratch: filepath.Join(dir, "scratch"),
		files: map[string]http.HandlerFunc{}, log: &lockedBuffer{},
	}
	b.origin = httptest.NewServer(http.HandlerFunc(b.answer))
	t.Cleanup(b.origin.Close)
	if err := os.MkdirAll(b.scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	b.openCatalog(opt)
	b.run(opt)
	return b
}

func (b *bench) openCatalog(opt options) {
	b.t.Helper()
	ctx := b.t.Context()
	cat, err := catalog.Open(ctx, "sqlite:"+opt.database, catalog.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cat.Close() })
	ids, err := cat.SetRegions(ctx, map[string]string{"nyc3": "file:" + b.store})
	if err != nil {
		b.t.Fatal(err)
	}
	folder, err := local.Open(b.store)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { folder.Close() })
	var objects store.Objects = folder
	if opt.objects != nil {
		objects = opt.objects(folder)
	}
	if b.kept, err = store.New(objects, cat.Index(ids["nyc3"])); err != nil {
		b.t.Fatal(err)
	}
	account, err := cat.CreateAccount(ctx, image.Account{Name: "a", Email: "a@example.com", Quota: opt.quota})
	if err != nil {
		b.t.Fatal(err)
	}
	b.cat, b.account = cat, account.ID
}

// run starts the queue; it ends with the test, before the catalogue is closed.
func (b *bench) run(opt options) {
	b.t.Helper()
	allow, err := source.ParseAllow(strings.TrimPrefix(b.origin.URL, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(b.log, nil))
	opt.limits.Backoff, opt.limits.MaxBackoff, opt.limits.RefusalDelay = time.Millisecond, 5*time.Millisecond, time.Millisecond
	client, err := source.New(source.Options{Allow: []source.Allow{allow}, Log: log, Limits: opt.limits})
	if err != nil {
		b.t.Fatal(err)
	}
	b.runner = &queue.Runner{
		Jobs: b.cat, Log: log, Workers: cmp.Or(opt.workers, 2), Poll: 20 * time.Millisecond,
		MaxAttempts: max(opt.maxAttempts, 1), FirstDelay: 10 * time.Millisecond, MaxDelay: 50 * time.Millisecond,
		Work: &importer.Importer{
			Source: client, Stores: func(string) (*store.Store, error) { return b.kept, nil }, Catalog: b.cat,
			Scratch: b.scratch, MaxSize: cmp.Or(opt.maxSize, image.MaxSize), Log: log,
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { b.runner.Run(ctx) })
	b.t.Cleanup(func() { cancel(); ended.Wait() })
}

// answer is the web server. Every file has an address of its own, so that a resumed read gets the same one.
func (b *bench) answer(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	serve, ok := b.files[r.URL.Path]
	b.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	serve(w, r)
}

// serve puts a handler at a path, and file the bytes that make returns, made when they are asked for.
func (b *bench) serve(path string, h http.HandlerFunc) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files[path] = h
	return b.origin.URL + path
}

func (b *bench) file(path string, make func() []byte) string {
	return b.serve(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(make()))
	})
}

// waiting serves a file of which the second half comes once it may; started is closed when the first has been sent.
func waiting(content []byte, started chan<- struct{}, may <-chan struct{}) http.HandlerFunc {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:len(content)/2])
		w.(http.Flusher).Flush()
		once.Do(func() { close(started) })
		<-may
		w.Write(content[len(content)/2:])
	}
}

// post queues an import, as the API does.
func (b *bench) post(url string) int64 {
	b.t.Helper()
	m, err := b.cat.CreateImage(b.t.Context(), b.account, image.Create{Name: "x", URL: url, Region: "nyc3"}, image.IdempotencyKey{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.runner.Wake()
	return m.ID
}

// settled waits until an import has ended.
func (b *bench) settled(id int64) (image.Image, image.Progress) {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		m, err := b.cat.Image(b.t.Context(), b.account, id)
		if err != nil {
			b.t.Fatal(err)
		}
		if m.Status != image.New && m.Status != image.Pending {
			p, err := b.cat.ImportProgress(b.t.Context(), b.account, id)
			if err != nil {
				b.t.Fatal(err)
			}
			return m, p
		}
	}
	b.t.Fatalf("image %d does not end\n%s", id, b.log)
	panic("unreachable")
}

// content reads an image back.
func (b *bench) content(id int64) []byte {
	b.t.Helper()
	ctx := b.t.Context()
	c, err := b.cat.Content(ctx, b.account, id)
	if err != nil {
		b.t.Fatal(err)
	}
	digest, err := digestOf(c.Digest)
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := b.kept.Open(ctx, c.Object, digest)
	if err != nil {
		b.t.Fatal(err)
	}
	all := make([]byte, d.Size())
	if _, err := d.ReadAt(all, 0); err != nil && !errors.Is(err, io.EOF) {
		b.t.Fatal(err)
	}
	return all
}

// wantNothing fails the test unless the store and scratch are empty after a sweep, and nobody is charged for anything.
func (b *bench) wantNothing() {
	b.t.Helper()
	b.sweep()
	for _, dir := range []string{b.store, b.scratch} {
		if left := filesIn(b.t, dir); len(left) > 0 {
			b.t.Errorf("left in %s: %v", filepath.Base(dir), left)
		}
	}
	if n, err := b.cat.CheckCounters(b.t.Context()); err != nil || n != 0 {
		b.t.Errorf("CheckCounters: %d wrong, %v", n, err)
	}
	images, total, err := b.cat.ListImages(b.t.Context(), b.account, image.Filter{}, image.Page{Number: 1, Size: 1})
	if err != nil || total != 0 {
		b.t.Errorf("the list has %d images: %v, %v", total, images, err)
	}
}

func (b *bench) sweep() {
	b.t.Helper()
	for range 2 { // what one sweep lets go of may be another's to delete
		if _, err := b.kept.Sweep(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func filesIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// lockedBuffer is a log that is written while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
