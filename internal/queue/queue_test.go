package queue_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/queue"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// fixture is a catalogue with one account.
type fixture struct {
	*catalog.Catalog
	t       *testing.T
	url     string
	account int64
	store   int64
	log     *logBuffer
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, url: "sqlite:" + filepath.Join(t.TempDir(), "catalog.db"), log: &logBuffer{}}
	f.Catalog = f.open()
	a, err := f.CreateAccount(t.Context(), image.Account{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	f.account = a.ID
	return f
}

func (f *fixture) open() *catalog.Catalog {
	c, err := catalog.Open(f.t.Context(), f.url, catalog.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	ids, err := c.SetRegions(f.t.Context(), map[string]string{"nyc3": "file:a"})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store = ids["nyc3"]
	return c
}

func (f *fixture) create() int64 {
	f.t.Helper()
	m, err := f.CreateImage(f.t.Context(), f.account, image.Create{Name: "x", URL: "https://example.com/x", Region: "nyc3"}, image.IdempotencyKey{})
	if err != nil {
		f.t.Fatal(err)
	}
	return m.ID
}

func (f *fixture) get(id int64) image.Image {
	f.t.Helper()
	m, err := f.Image(f.t.Context(), f.account, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func (f *fixture) progress(id int64) image.Progress {
	f.t.Helper()
	p, err := f.ImportProgress(f.t.Context(), f.account, id)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// publish ends an import as the importer would.
func (f *fixture) publish(ctx context.Context, claim image.Claim) error {
	w := store.Written{Manifest: sha256.Sum256([]byte(claim.Lease)), Object: claim.Lease, GuestSize: 1}
	owner := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	if err := f.Index(f.store).Begin(ctx, owner, store.KindManifest, w.Object); err != nil {
		return err
	}
	return f.Publish(ctx, claim, image.Progress{}, w)
}

// eventually fails the test unless ok becomes true.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	f.t.Fatalf("waited in vain until %s\n%s", what, f.log)
}

func (f *fixture) wantStatus(id int64, want image.Status) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("image %d is %s", id, want), func() bool { return f.get(id).Status == want })
}

// work is a function as queue.Work.
type work func(context.Context, image.Claim) error

func (w work) Run(ctx context.Context, claim image.Claim) error { return w(ctx, claim) }

// runner returns a quick runner of this work on the fixture's catalogue.
func (f *fixture) runner(w work) *queue.Runner {
	return &queue.Runner{
		Jobs: f, Work: w, Log: slog.New(slog.NewTextHandler(f.log, nil)),
		Poll: 10 * time.Millisecond, Lease: 5 * time.Second, MaxAttempts: 2, FirstDelay: time.Millisecond,
	}
}

// start runs a runner until the test ends or the function that it returns is called, which waits for its end.
func (f *fixture) start(r *queue.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	f.t.Cleanup(stop)
	return stop
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestEnds(t *testing.T) {
	passing := refusal.Passing(nil, "source_503", "The source is busy.")
	for _, test := range []struct {
		name     string
		work     func(f *fixture, ctx context.Context, claim image.Claim) error
		status   image.Status
		attempts int
		code     string
		message  string // with * for a part that differs
	}{
		{"well", func(f *fixture, ctx context.Context, claim image.Claim) error {
			return f.publish(ctx, claim)
		}, image.Available, 1, "", ""},
		{"permanently refused", func(f *fixture, ctx context.Context, claim image.Claim) error {
			return fmt.Errorf("wrapped: %w", refusal.New("source_404", "There is no such file."))
		}, image.Deleted, 1, "source_404", "There is no such file."},
		{"well at the second attempt", func(f *fixture, ctx context.Context, claim image.Claim) error {
			if claim.Attempt == 1 {
				return passing
			}
			return f.publish(ctx, claim)
		}, image.Available, 2, "", ""},
		{"refused too often", func(f *fixture, ctx context.Context, claim image.Claim) error {
			return passing
		}, image.Deleted, 2, "source_503", "The source is busy. (The last of 2 attempts.)"},
		{"an internal error", func(f *fixture, ctx context.Context, claim image.Claim) error {
			return errors.New("password of /root is x")
		}, image.Deleted, 2, "internal_error", "The import met an internal error. Try again; if it happens again, give the " +
			"operator the reference *, under which the log has the cause. (The last of 2 attempts.)"},
		{"a panic", func(f *fixture, ctx context.Context, claim image.Claim) error {
			panic("password of /root is x")
		}, image.Deleted, 2, "internal_error", "The import met an internal error. Try again; if it happens again, give the " +
			"operator the reference *, under which the log has the cause. (The last of 2 attempts.)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			id := f.create()
			f.start(f.runner(func(ctx context.Context, claim image.Claim) error { return test.work(f, ctx, claim) }))
			f.wantStatus(id, test.status)
			p := f.progress(id)
			if p.Attempt != test.attempts || p.ErrorCode != test.code || p.ErrorMessage != f.get(id).ErrorMessage {
				t.Errorf("progress %+v", p)
			}
			before, after, varies := strings.Cut(test.message, "*")
			if !strings.HasPrefix(p.ErrorMessage, before) || !strings.HasSuffix(p.ErrorMessage, after) {
				t.Errorf("message %q, want %q", p.ErrorMessage, test.message)
			}
			if varies {
				reference := p.ErrorMessage[len(before) : len(p.ErrorMessage)-len(after)]
				if log := f.log.String(); !strings.Contains(log, "reference="+reference) || !strings.Contains(log, "password of /root is x") {
					t.Errorf("the log does not have the cause under %s:\n%s", reference, log)
				}
			}
		})
	}
}

// waiting is work that goes on until it is cancelled, and says why it was.
func waiting(started chan<- image.Claim, causes chan<- error) work {
	return func(ctx context.Context, claim image.Claim) error {
		started <- claim
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return refusal.New("connection_closed", "A consequence of the cancellation, not a reason.")
	}
}

func TestDeleteStopsTheWork(t *testing.T) {
	f := newFixture(t)
	started, causes := make(chan image.Claim, 1), make(chan error, 1)
	r := f.runner(waiting(started, causes))
	r.Lease = time.Second
	f.start(r)
	id := f.create()
	<-started
	if err := f.DeleteImage(t.Context(), f.account, id); err != nil {
		t.Fatal(err)
	}
	if cause := <-causes; !errors.Is(cause, image.ErrLeaseLost) {
		t.Errorf("cancelled because %v", cause)
	}
}

func TestStopHandsBack(t *testing.T) {
	f := newFixture(t)
	started, causes := make(chan image.Claim, 1), make(chan error, 1)
	id := f.create()
	stop := f.start(f.runner(waiting(started, causes)))
	<-started
	stop()
	if cause := <-causes; cause == nil || errors.Is(cause, image.ErrLeaseLost) {
		t.Errorf("cancelled because %v", cause)
	}
	if p := f.progress(id); p.Phase != image.PhaseQueued || p.Attempt != 1 || p.ErrorCode != "" {
		t.Errorf("progress %+v", p)
	}
	f.start(f.runner(f.publish))
	f.wantStatus(id, image.Available)
}

func TestEachImportRunsOnce(t *testing.T) {
	const imports, workers = 40, 3
	f := newFixture(t)
	var ids []int64
	for range imports {
		ids = append(ids, f.create())
	}
	var mu sync.Mutex
	ran := map[int64]int{}
	var running, most atomic.Int64
	count := func(ctx context.Context, claim image.Claim) error {
		for now, was := running.Add(1), most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
		}
		defer running.Add(-1)
		mu.Lock()
		ran[claim.ImageID]++
		mu.Unlock()
		time.Sleep(time.Millisecond)
		return f.publish(ctx, claim)
	}
	var runners []*queue.Runner // as two processes; each is opened before the first runs
	for range 2 {
		other := *f
		other.Catalog = f.open()
		r := other.runner(count)
		r.Workers, r.Lease = workers, time.Minute
		runners = append(runners, r)
	}
	for _, r := range runners {
		f.start(r)
	}
	for _, id := range ids {
		f.wantStatus(id, image.Available)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, id := range ids {
		if ran[id] != 1 {
			t.Errorf("image %d was imported %d times", id, ran[id])
		}
	}
	if n := most.Load(); n > 2*workers || n < 2 {
		t.Errorf("%d imports at once", n)
	}
}

// unreachable is a catalogue that cannot be reached for a while.
type unreachable struct {
	queue.Jobs
	down  atomic.Bool
	asked atomic.Int64
}

func (u *unreachable) try() error {
	u.asked.Add(1)
	if u.down.Load() {
		return errors.New("connection refused")
	}
	return nil
}

func (u *unreachable) Claim(ctx context.Context, worker string, lease time.Duration) (*image.Claim, error) {
	if err := u.try(); err != nil {
		return nil, err
	}
	return u.Jobs.Claim(ctx, worker, lease)
}

func (u *unreachable) Renew(ctx context.Context, c image.Claim, lease time.Duration) error {
	if err := u.try(); err != nil {
		return err
	}
	return u.Jobs.Renew(ctx, c, lease)
}

func (u *unreachable) Fail(ctx context.Context, c image.Claim, code, message string) error {
	if err := u.try(); err != nil {
		return err
	}
	return u.Jobs.Fail(ctx, c, code, message)
}

func TestTakeoverFromAnUnreachableWorker(t *testing.T) {
	f := newFixture(t)
	started, causes := make(chan image.Claim, 1), make(chan error, 1)
	cut := f.runner(waiting(started, causes))
	cut.Lease, cut.Name = 2*time.Second, "cut off"
	jobs := &unreachable{Jobs: f}
	cut.Jobs = jobs
	id := f.create()
	f.start(cut)
	first := <-started
	f.eventually("the lease was renewed", func() bool { return jobs.asked.Load() > 3 })
	jobs.down.Store(true)
	if cause := <-causes; !errors.Is(cause, image.ErrLeaseLost) {
		t.Errorf("cancelled because %v", cause)
	}
	if m := f.get(id); m.Status != image.Pending {
		t.Errorf("status %s", m.Status)
	}
	claims := make(chan image.Claim, 1)
	f.start(f.runner(func(ctx context.Context, claim image.Claim) error {
		claims <- claim
		return f.publish(ctx, claim)
	}))
	f.wantStatus(id, image.Available)
	if second := <-claims; second.Broken != 1 || second.Attempt != 1 {
		t.Errorf("taken over as %+v", second)
	}
	if err := f.Publish(t.Context(), first, image.Progress{}, store.Written{}); !errors.Is(err, image.ErrLeaseLost) {
		t.Errorf("the first worker published: %v", err)
	}
}

func TestEndIsWrittenWhenTheDatabaseReturns(t *testing.T) {
	f := newFixture(t)
	jobs := &unreachable{Jobs: f}
	id := f.create()
	r := f.runner(func(context.Context, image.Claim) error {
		jobs.asked.Store(0)
		jobs.down.Store(true)
		return refusal.New("source_404", "There is no such file.")
	})
	r.Jobs, r.Workers = jobs, 1
	f.start(r)
	f.eventually("it was tried again", func() bool { return jobs.down.Load() && jobs.asked.Load() > 2 })
	jobs.down.Store(false)
	f.wantStatus(id, image.Deleted)
}

func TestBrokenTooOften(t *testing.T) {
	f := newFixture(t)
	id := f.create()
	for range 2 {
		if claim, err := f.Claim(t.Context(), "dying", time.Minute); claim == nil || err != nil {
			t.Fatal(claim, err)
		}
		if err := f.ReleaseAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r := f.runner(func(context.Context, image.Claim) error {
		t.Error("it was run once more")
		return nil
	})
	r.MaxBroken = 2
	f.start(r)
	f.wantStatus(id, image.Deleted)
	if p := f.progress(id); p.ErrorCode != "worker_died" || !strings.Contains(p.ErrorMessage, "cut off 2 times") {
		t.Errorf("progress %+v", p)
	}
}

func TestWake(t *testing.T) {
	f := newFixture(t)
	r := f.runner(f.publish)
	r.Poll = time.Hour
	jobs := &unreachable{Jobs: f}
	r.Jobs = jobs
	f.start(r)
	f.eventually("both workers have found nothing", func() bool { return jobs.asked.Load() >= 2 })
	id := f.create()
	r.Wake()
	f.wantStatus(id, image.Available)
}
