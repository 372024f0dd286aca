package importer_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/disk/craft"
	"ingot/internal/image"
)

// TestClockJumpsForward lets the leases of all running imports run out at once, which is what a clock that jumps does.
// Workers that are idle take them over while the first ones still work; each must end right, and once.
func TestClockJumpsForward(t *testing.T) {
	const imports = 3
	dir := t.TempDir()
	b := newBench(t, options{dir: dir, workers: 2 * imports, maxAttempts: 2})
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "catalog.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	var begun atomic.Int32
	rest := make(chan struct{})
	guests, ids := map[int64][]byte{}, []int64{}
	for i := range imports {
		guest := craft.Guest(4*mib, uint64(60+i))
		id := b.post(b.serve(fmt.Sprint("/", i), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(guest)))
			w.Write(guest[:len(guest)/2])
			w.(http.Flusher).Flush()
			begun.Add(1)
			select {
			case <-rest:
				w.Write(guest[len(guest)/2:])
			case <-r.Context().Done():
			}
		}))
		guests[id], ids = guest, append(ids, id)
	}
	b.until("all are under way", func() bool { return begun.Load() == imports })
	if r, err := db.ExecContext(t.Context(), `UPDATE import SET lease_until = 1 WHERE state = 'running'`); err != nil {
		t.Fatal(err)
	} else if n, _ := r.RowsAffected(); n != imports {
		t.Fatalf("%d leases ran out, %d imports run", n, imports)
	}
	b.until("all were taken over", func() bool { return begun.Load() == 2*imports })
	close(rest)
	for _, id := range ids {
		m, p := b.settled(id)
		if m.Status != image.Available || p.Attempt != 1 {
			t.Errorf("image %d: %s after %d attempts: %s %s\n%s", id, m.Status, p.Attempt, p.ErrorCode, m.ErrorMessage, b.log)
			continue
		}
		if !bytes.Equal(b.content(id), guests[id]) {
			t.Errorf("image %d: what is kept differs", id)
		}
		if err := b.cat.DeleteImage(t.Context(), b.account, id); err != nil {
			t.Fatal(err)
		}
	}
	b.wantNothing()
}

func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("in vain: %s\n%s", what, b.log)
		}
	}
}
