package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"
	_ "modernc.org/sqlite"

	"ingot/internal/store/s3/s3test"
)

// twoStores are regions that keep their images in different stores.
var twoStores = []string{"--region", "nyc3=file:near", "--region", "fra1=file:near", "--region", "lon1=file:far"}

// noise is a raw disk that does not compress, so that it takes several packs.
func noise(size int, seed uint64) []byte {
	disk := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(seed)})
	rng.Read(disk[512:])
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

type wireAction struct {
	ID          int64   `json:"id"`
	Status      string  `json:"status"`
	CompletedAt *string `json:"completed_at"`
}

func (s *service) transfer(id int64, region string) wireAction {
	s.t.Helper()
	var answer struct{ Action wireAction }
	code := s.call("POST", fmt.Sprintf("/v2/images/%d/actions", id), map[string]any{"type": "transfer", "region": region}, &answer)
	if code != http.StatusCreated {
		s.t.Fatalf("transfer of image %d: %d %+v", id, code, answer)
	}
	return answer.Action
}

// ended waits until an action has ended.
func (s *service) ended(id int64) (a wireAction) {
	s.t.Helper()
	s.Eventually(fmt.Sprintf("action %d ends", id), func() bool {
		var answer struct{ Action wireAction }
		s.call("GET", fmt.Sprintf("/v2/actions/%d", id), nil, &answer)
		a = answer.Action
		return a.Status != "in-progress"
	})
	return a
}

// killedInTransfer kills the service while a transfer runs that has made chunks known in its target and is not done:
// while this holds the database's one write lock, nothing goes on. It returns false if the transfer was faster.
func (s *service) killedInTransfer(action int64) bool {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, "catalog.db")+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for state, chunks := "", 0; ; time.Sleep(time.Millisecond) {
		tx, err := db.Begin()
		if err != nil {
			s.t.Fatal(err)
		}
		err = tx.QueryRow(`SELECT r.state, (SELECT count(*) FROM chunk c WHERE c.store_id = r.store_id) FROM replication r
			WHERE r.action_id = ?`, action).Scan(&state, &chunks)
		if err != nil {
			s.t.Fatal(err)
		}
		if chunks > 0 && state == "running" {
			s.Kill()
		}
		if err := tx.Rollback(); err != nil {
			s.t.Fatal(err)
		}
		if chunks > 0 {
			return state == "running"
		}
	}
}

// modified returns when each file below a folder was written.
func modified(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "packs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]time.Time{}
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = info.ModTime()
	}
	return files
}

// TestTransferKilled kills the service in the middle of a transfer. After the restart it goes on by itself, what was in
// the target stays and is not written again, and the image can be read from whichever store has it.
func TestTransferKilled(t *testing.T) {
	var s *service
	var disk []byte
	var id int64
	var action wireAction
	data := t.TempDir()
	files := map[string][]byte{}
	o := newOrigin(t, files)
	args := append([]string{"--allow-source", o.allow()}, twoStores...)
	for n := 1; ; n++ { // the second time, should the first transfer be done before it could be killed
		if n > 5 {
			t.Fatal("five transfers were done before they could be killed")
		}
		disk = noise(110<<20, uint64(n))
		files["disk"] = disk
		s = start(t, data, args...)
		id = s.create("disk", o.URL+"/disk")
		if m := s.settled(id); m.Status != "available" {
			t.Fatalf("%+v", m)
		}
		if action = s.transfer(id, "lon1"); action.Status != "in-progress" || action.CompletedAt != nil {
			t.Fatalf("%+v", action)
		}
		if s.killedInTransfer(action.ID) {
			break
		}
		s.delete(id)
		s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(data, "far")) == 0 })
		s.Kill()
	}
	near, far := filepath.Join(data, "near"), filepath.Join(data, "far")
	before := modified(t, far)

	s = start(t, data, args...)
	if a := s.ended(action.ID); a.Status != "completed" || a.CompletedAt == nil {
		t.Fatalf("%+v\n%s", a, s.Log)
	}
	if m := s.image(id); !slices.Equal(m.Regions, []string{"lon1", "nyc3"}) {
		t.Errorf("%+v", m)
	}
	after := modified(t, far)
	stayed := 0
	for path, then := range before {
		if now, ok := after[path]; ok && now.Equal(then) {
			stayed++
		}
	}
	if stayed == 0 {
		t.Errorf("of the packs %v none is left as it was", before)
	}
	s.Eventually("what the killed attempt left open is gone", func() bool {
		return bytesUnder(t, far) < bytesUnder(t, near)+1<<20
	})
	done := ingot(t, "transfers", "--data", data)
	if !strings.Contains(done, "done") || !strings.Contains(done, "100%") {
		t.Errorf("ingot transfers says\n%s", done)
	}
	ingot(t, "fsck", "--data", data)
	if !bytes.Equal(s.content(id), disk) {
		t.Error("the image differs from its source")
	}

	s.Terminate()
	if err := os.RemoveAll(filepath.Join(far, "packs")); err != nil {
		t.Fatal(err)
	}
	s = start(t, data, args...)
	if !bytes.Equal(s.content(id), disk) {
		t.Error("without the packs of one store the image differs")
	}
	if !strings.Contains(s.Log.String(), "cannot be read from one of its stores") {
		t.Errorf("the log does not tell:\n%s", s.Log)
	}
	s.delete(id)
	s.Eventually("both stores are empty", func() bool { return bytesUnder(t, near)+bytesUnder(t, far) == 0 })
}

// TestTransferWaiters waits for transfers as clients do.
func TestTransferWaiters(t *testing.T) {
	o := newOrigin(t, map[string][]byte{"disk": rawDisk(6<<20, 1), "bad": noise(6<<20, 2)})
	data := t.TempDir()
	s := start(t, data, append([]string{"--allow-source", o.allow()}, twoStores...)...)
	id := s.create("disk", o.URL+"/disk")
	s.settled(id)

	c := s.godoClient(s.Token)
	action, _, err := c.ImageActions.Transfer(t.Context(), int(id), &godo.ActionRequest{"type": "transfer", "region": "lon1"})
	if err != nil || action.Status != godo.ActionInProgress || action.CompletedAt != nil {
		t.Fatalf("%+v, %v", action, err)
	}
	s.Eventually("godo sees the action completed", func() bool {
		action, _, err = c.ImageActions.Get(t.Context(), int(id), action.ID)
		if err != nil {
			t.Fatal(err)
		}
		return action.Status == godo.ActionCompleted
	})
	if action.CompletedAt == nil || action.RegionSlug != "lon1" {
		t.Errorf("%+v", action)
	}
	if out := ingot(t, "image", "transfer", fmt.Sprint(id), "fra1", "--wait", "--service", s.URL, "--token", s.Token); !strings.Contains(out, "completed") {
		t.Errorf("%s", out)
	}

	// One that cannot end well, since no store has the image whole.
	bad := s.create("bad", o.URL+"/bad")
	before := modified(t, filepath.Join(data, "near"))
	s.settled(bad)
	for path := range modified(t, filepath.Join(data, "near")) {
		if _, ok := before[path]; ok {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte("damage "), 100), 2000); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	out := startFailing(t, "image", "transfer", fmt.Sprint(bad), "lon1", "--wait", "--service", s.URL, "--token", s.Token)
	if !strings.Contains(out, "ingot transfers") {
		t.Errorf("%s", out)
	}
	if out := ingot(t, "transfers", "--data", data); !strings.Contains(out, "content_damaged") {
		t.Errorf("ingot transfers says\n%s", out)
	}
	if !strings.Contains(s.Log.String(), "content_damaged") {
		t.Errorf("the log does not say why:\n%s", s.Log)
	}
	if m := s.metrics(); !strings.Contains(m, `ingot_transfer_attempts_total{outcome="copied"} 1`) ||
		!strings.Contains(m, `ingot_transfer_attempts_total{outcome="content_damaged"} 1`) {
		t.Errorf("the metrics do not count:\n%s", m)
	}
}

// TestTransferToABucket copies an image from a folder to a bucket and back to another folder.
func TestTransferToABucket(t *testing.T) {
	withCredentials(t, s3test.Access, s3test.Secret)
	server := s3test.Start(t)
	disk := rawDisk(48<<20, 5)
	o := newOrigin(t, map[string][]byte{"disk": disk})
	data := t.TempDir()
	args := []string{"--allow-source", o.allow(), "--region", "nyc3=file:near", "--region", "ams3=" + server.URL(server.Bucket(t, "images"), ""), "--region", "lon1=file:far"}
	s := start(t, data, args...)
	id := s.create("disk", o.URL+"/disk")
	s.settled(id)
	for _, step := range []struct{ to, lose string }{{"ams3", "near"}, {"lon1", "none"}} {
		if a := s.ended(s.transfer(id, step.to).ID); a.Status != "completed" {
			t.Fatalf("to %s: %+v\n%s%s", step.to, a, s.Log, ingot(t, "transfers", "--data", data))
		}
		s.Terminate()
		if err := os.RemoveAll(filepath.Join(data, step.lose, "packs")); err != nil {
			t.Fatal(err)
		}
		s = start(t, data, args...)
		if !bytes.Equal(s.content(id), disk) {
			t.Errorf("after the transfer to %s the image differs", step.to)
		}
	}
}
