package fleet

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"ingot/internal/disk/disktest"
)

// takeover bounds how long an import whose worker dies or hangs waits for another one that is free: the lease, a look of
// the next worker, and what a busy machine takes beside that.
const takeover = 30 * time.Second

// Of two workers with an import each, one is killed and one hangs. Both imports go on elsewhere within half a minute, and
// the one that hung can end nothing when it wakes up, although its source has given it the whole image by then.
func TestTakenOverInTime(t *testing.T) {
	f := newFleet(t)
	h := watchHistory(t, f)
	open := make(chan struct{})
	o := &origin{byName: map[string]source{}}
	for n := range uint64(2) {
		disk := read(t, disktest.RandomRaw(t, 3<<20, n))
		copy(disk[510:], []byte{0x55, 0xaa})
		o.add(source{name: fmt.Sprint(n, ".raw"), file: disk, disk: disk, rate: 20 << 10, open: open})
	}
	o.listen(t)
	f.args = append(f.args, "--allow-source", o.allow(), "--workers", "1")
	f.start(t)
	f.add(t, "worker3", "worker") // of four two are free

	accepted := map[int64]source{}
	var ids []int64
	var holders []*member
	for n, s := range o.sources {
		id := f.create(t, 0, fmt.Sprint("order ", n), map[string]any{"name": "x", "url": o.url(s), "region": "nyc3"})
		accepted[id], ids, holders = s, append(ids, id), append(holders, f.holder(t, h, id, 0))
	}
	time.Sleep(lease / 4) // each has renewed its lease once
	var since []time.Time
	since = append(since, h.now(t))
	holders[0].kill()
	since = append(since, h.now(t))
	holders[1].signal(syscall.SIGSTOP)
	for i, id := range ids {
		next := f.holder(t, h, id, 1)
		_, at, _ := h.claim(t, id, 1)
		took := at.Sub(since[i])
		t.Logf("%s took over from %s after %v", next.name, holders[i].name, took)
		if next == holders[i] || took > takeover {
			t.Errorf("image %d: %s took over from %s after %v, want another within %v", id, next.name, holders[i].name, took, takeover)
		}
	}
	close(open)
	holders[1].signal(syscall.SIGCONT)
	f.settled(t, accepted)
	f.eventually(t, "who hung notices it", func() bool { return strings.Contains(holders[1].log.String(), "lease is lost") })
	f.wantRight(t, accepted)
	h.wantFenced(t, accepted)
}

// holder waits for the nth claim of an import and returns its worker.
func (f *fleet) holder(t *testing.T, h *history, id int64, n int) *member {
	t.Helper()
	var worker string
	f.eventually(t, fmt.Sprintf("claim %d of image %d", n, id), func() (ok bool) {
		worker, _, ok = h.claim(t, id, n)
		return ok
	})
	m := f.called(worker)
	if m == nil {
		t.Fatalf("image %d is with %s, whom nobody knows", id, worker)
	}
	return m
}
