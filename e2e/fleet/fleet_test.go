// Package fleet tests many processes of the built binary on one PostgreSQL database and one store, some of which die,
// hang and come back at any moment.
package fleet

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/e2e/harness"
	"ingot/internal/catalog/pgtest"
	"ingot/internal/store/s3/s3test"
)

var executable string // built once by TestMain

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ingot-fleet-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if executable, err = harness.Build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

const (
	seed    = 20261124
	apis    = 2
	workers = 3
)

// testTime is how long processes are killed, with a folder: INGOT_TEST_TIME, or two minutes.
func testTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("INGOT_TEST_TIME")
	if text == "" {
		return 2 * time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestKilledAtRandom imports two hundred images by a fleet whose processes are killed, and halted for longer and shorter
// than a lease. Every import that was accepted ends once, and as its source says; nothing is left behind, of a
// bucket no unfinished upload either. With a bucket it takes a quarter of the time, and fewer images.
func TestKilledAtRandom(t *testing.T) {
	t.Run("folder", func(t *testing.T) { killedAtRandom(t, newFleet(t), testTime(t), 200) })
	t.Run("bucket", func(t *testing.T) { killedAtRandom(t, bucketFleet(t), testTime(t)/4, 60) })
}

func killedAtRandom(t *testing.T, f *fleet, during time.Duration, images int) {
	h := watchHistory(t, f)
	f.start(t)
	o := newOrigin(t)
	f.args = append(f.args, "--allow-source", o.allow())
	for _, m := range f.members {
		m.restart()
	}

	over := make(chan struct{})
	ordered := make(chan map[int64]source)
	go func() { ordered <- f.order(t, o, during, images) }()
	go func() { defer close(over); f.disturb(during, h) }()
	accepted := <-ordered
	<-over
	if t.Failed() {
		return
	}
	t.Logf("seed %d: %d imports accepted; %s", seed, len(accepted), f.told())

	f.settled(t, accepted)
	f.wantRight(t, accepted)
	h.wantFenced(t, accepted)
	f.wantSound(t, h)
	f.wantQuota(t, h, accepted)
	f.wantNothingLeft(t, h, accepted)
}

// order asks for the images, each by a key of its own that is sent again, to any process, until there is an answer, and
// once more when there is one.
func (f *fleet) order(t *testing.T, o *origin, during time.Duration, images int) map[int64]source {
	rng := rand.New(rand.NewPCG(seed, 1))
	accepted := map[int64]source{}
	pause := during * 2 / 3 / time.Duration(images)
	for n := range images {
		s := o.sources[n%len(o.sources)]
		key := fmt.Sprintf("order-%d", n)
		body := map[string]any{"name": fmt.Sprintf("image %d", n), "url": o.url(s), "region": "nyc3", "tags": []string{fmt.Sprint("tag", n%3)}}
		id := f.create(t, rng.IntN(apis), key, body)
		if rng.IntN(4) == 0 {
			if again := f.create(t, rng.IntN(apis), key, body); again != id {
				t.Errorf("%s made the images %d and %d", key, id, again)
			}
		}
		if _, twice := accepted[id]; twice || id == 0 {
			t.Errorf("%s: image %d", key, id)
		}
		accepted[id] = s
		time.Sleep(time.Duration(rng.Int64N(int64(2*pause) + 1)))
	}
	return accepted
}

// disturb kills and halts processes, and leaves the fleet whole. Of the workers, one at most is halted at a time, and
// who is halted is not killed.
func (f *fleet) disturb(during time.Duration, h *history) {
	rng := rand.New(rand.NewPCG(seed, 2))
	var halted *member
	woken := make(chan struct{})
	close(woken)
	for end := time.Now().Add(during); time.Now().Before(end); {
		time.Sleep(time.Duration(500+rng.IntN(2000)) * time.Millisecond)
		select {
		case <-woken:
			// A worker with an import in its hands sleeps beyond its lease: others take the import over, and it wakes up.
			if busy := f.atWork(h); busy != nil {
				halted, woken = busy, make(chan struct{})
				f.halts++
				go func(m *member, woken chan struct{}) { defer close(woken); m.halt(lease + 5*time.Second) }(halted, woken)
			}
		default:
		}
		m := f.members[rng.IntN(len(f.members))]
		switch {
		case m == halted:
		case rng.IntN(4) == 0:
			m.halt(time.Duration(rng.IntN(3000)) * time.Millisecond)
		default:
			f.kills++
			m.restart()
		}
	}
	<-woken
}

// settled waits until every import has ended.
func (f *fleet) settled(t *testing.T, accepted map[int64]source) {
	t.Helper()
	for id := range accepted {
		var status string
		f.eventually(t, fmt.Sprintf("image %d ends", id), func() bool {
			status = f.image(t, id).Status
			return status == "available" || status == "deleted"
		})
	}
}

// wantRight compares every image with its source.
func (f *fleet) wantRight(t *testing.T, accepted map[int64]source) {
	t.Helper()
	for id, s := range accepted {
		m := f.image(t, id)
		if s.code != "" {
			if code := f.errorCode(t, id); m.Status != "deleted" || code != s.code {
				t.Errorf("image %d of %s: %s with %q, want %s", id, s.name, m.Status, code, s.code)
			}
			continue
		}
		if m.Status != "available" {
			t.Errorf("image %d of %s: %s %s", id, s.name, m.Status, m.ErrorMessage)
			continue
		}
		if got := f.content(t, id); !same(got, s.disk) {
			t.Errorf("image %d of %s differs from its source", id, s.name)
		}
	}
}

// wantSound checks the store while all images are there.
func (f *fleet) wantSound(t *testing.T, h *history) {
	t.Helper()
	f.sweep(t, h)
	if out, err := f.command("fsck"); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
}

// sweep frees everything now, what is left for hung writers included: as if the hour had passed after which it is
// deleted again.
func (f *fleet) sweep(t *testing.T, h *history) {
	t.Helper()
	for range 2 {
		h.do(t, `UPDATE object SET again = 0 WHERE state = 'dead'`)
		if out, err := f.command("gc"); err != nil {
			t.Errorf("gc: %v\n%s", err, out)
		}
	}
}

func (f *fleet) wantQuota(t *testing.T, h *history, accepted map[int64]source) {
	t.Helper()
	good := 0
	for _, s := range accepted {
		if s.code == "" {
			good++
		}
	}
	var n, bytes, queued, running, sum int
	h.row(t, `SELECT images, bytes, queued, running, (SELECT sum(data_size) FROM image WHERE status = 'available') FROM quota WHERE account_id = 1`,
		&n, &bytes, &queued, &running, &sum)
	if n != good || bytes != sum || queued != 0 || running != 0 {
		t.Errorf("the quota has %d images of %d bytes, %d queued, %d running; there are %d of %d", n, bytes, queued, running, good, sum)
	}
}

func (f *fleet) wantNothingLeft(t *testing.T, h *history, accepted map[int64]source) {
	t.Helper()
	for id := range accepted {
		if code := f.call(t, "DELETE", fmt.Sprintf("/v2/images/%d", id), nil); code != 204 {
			t.Errorf("DELETE image %d: %d", id, code)
		}
	}
	for _, m := range f.members {
		m.kill()
		if left, err := os.ReadDir(filepath.Join(m.data, "scratch")); len(left) > 0 || err != nil && !os.IsNotExist(err) {
			t.Errorf("%s left in scratch: %v, %v", m.name, left, err)
		}
	}
	f.sweep(t, h)
	if left := f.stored(t); len(left) > 0 {
		t.Errorf("left in the store: %q", left)
	}
	if left, err := filepath.Glob(filepath.Join(f.uploads, "[^.]*")); len(left) > 0 || err != nil {
		t.Errorf("left in uploads: %q, %v", left, err)
	}
	for _, query := range []string{
		`SELECT count(*) FROM pin`, `SELECT count(*) FROM chunk`, `SELECT count(*) FROM manifest`, `SELECT count(*) FROM manifest_pack`,
		`SELECT count(*) FROM image_region`, `SELECT count(*) FROM object WHERE state <> 'dead'`,
		`SELECT images + bytes + queued + running FROM quota WHERE account_id = 1`,
	} {
		var n int
		if h.row(t, query, &n); n != 0 {
			t.Errorf("%d left: %s", n, query)
		}
	}
}

// filesUnder returns the files that hold something.
func filesUnder(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			names = append(names, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	return fleetOn(t, pgtest.Start(t).Database(t))
}

// bucketFleet is newFleet with a store in a bucket.
func bucketFleet(t *testing.T) *fleet {
	t.Helper()
	server := s3test.Start(t)
	bucket := server.Bucket(t, "fleet")
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.Secret)
	f := fleetAt(t, pgtest.Start(t).Database(t), server.URL(bucket, "ingot"))
	f.stored = func(t *testing.T) (left []string) {
		keys, _ := server.Keys(t, bucket)
		for _, key := range keys {
			if !strings.HasPrefix(key, "ingot/mark/") { // it says whose the bucket is
				left = append(left, key)
			}
		}
		for _, key := range server.Uploads(t, bucket) {
			left = append(left, "unfinished: "+key)
		}
		return left
	}
	return f
}

// fleetOn returns the fleet of a database, with the schema made and no process running.
func fleetOn(t *testing.T, database string) *fleet {
	t.Helper()
	store := filepath.Join(t.TempDir(), "store")
	f := fleetAt(t, database, "file:"+store)
	f.stored = func(t *testing.T) []string { return filesUnder(t, store) }
	return f
}

// fleetAt is fleetOn with a store elsewhere.
func fleetAt(t *testing.T, database, store string) *fleet {
	t.Helper()
	dir := t.TempDir()
	f := &fleet{dir: dir, uploads: filepath.Join(dir, "uploads"), database: database}
	f.args = []string{"--database", f.database, "--store", store, "--uploads", f.uploads, "--no-migrate"}
	if out, err := f.command("migrate"); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	return f
}
