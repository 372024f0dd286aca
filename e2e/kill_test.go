package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/disk/craft"
)

// kills is how often the service is killed; with INGOT_DAMAGE=full, four times as often.
const kills = 50

// TestKilledAtAnyMoment kills the service at random moments of an import - queued, fetching, spooling, writing packs,
// publishing, done - and starts it again on the same data. No image may be lost, half visible or wrong, and nothing may be
// left. Of the formats, raw and gzip are read as they come; VDI and qcow2 go by a spool, and the qcow2 file stands backwards
// and is larger than what a spool keeps in memory, so its scratch file is on disk when the kill comes.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := kills
	if full() {
		rounds *= 4
	}
	disks := [][]byte{rawDisk(3<<20, 31), rawDisk(3<<20, 32), craft.Guest(4<<20, 33), craft.Guest(40<<20, 34)}
	k := &killed{disks: disks, seen: map[int64]bool{}, origin: newOrigin(t, map[string][]byte{
		"0": gzipped(t, disks[0]), "1": disks[1], "2": craft.VDI(disks[2]).Bytes, "3": backwards(disks[3]),
	})}
	data := t.TempDir()
	rng := rand.New(rand.NewPCG(4, 4))
	phases := map[string]int{} // of the imports that have not ended, at the kills
	for round := range rounds {
		which := round % len(disks)
		k.origin.rate.Store([]int64{6 << 20, 6 << 20, 6 << 20, 40 << 20}[which])
		s := start(t, data, "--allow-source", k.origin.allow())
		k.wantWhole(s)
		k.ids = append(k.ids, s.create(fmt.Sprint("round ", round), fmt.Sprint(k.origin.URL, "/", which)))
		time.Sleep(time.Duration(rng.IntN(800)) * time.Millisecond)
		if round%5 == 4 { // few wait for others, and none is cut off thirty times, when it would be given up
			k.settle(s)
		}
		for _, id := range k.ids {
			if !k.seen[id] {
				phases[s.progress(id).Phase]++
			}
		}
		s.Kill()
		k.wantNoScratch(t, data)
	}
	if t.Logf("killed in %v", phases); phases["fetching"] < rounds/5 {
		t.Errorf("%d kills met few imports: %v", rounds, phases)
	}

	s := start(t, data, "--allow-source", k.origin.allow())
	k.settle(s)
	clear(k.seen) // all are read again
	k.wantWhole(s)
	for _, id := range k.ids {
		if p := s.progress(id); p.Attempt != 1 {
			t.Errorf("image %d: its interruptions count as %d attempts", id, p.Attempt)
		}
		s.delete(id)
	}
	s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(data, "store")) == 0 })
	k.wantNoScratch(t, data)
	wantNothingCharged(t, s)
	if code := s.Terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if said := fsck(t, data); !said.Sound {
		t.Errorf("after it all: %+v", said)
	}
}

// killed is what TestKilledAtAnyMoment has imported so far: image ids[i] is of disks[i modulo their number].
type killed struct {
	origin *origin
	disks  [][]byte
	ids    []int64
	seen   map[int64]bool // available, and read back
}

// settle waits until all are available, with nothing that slows them down.
func (k *killed) settle(s *service) {
	s.t.Helper()
	k.origin.rate.Store(0)
	for _, id := range k.ids {
		if m := s.settled(id); m.Status != "available" {
			s.t.Fatalf("image %d: %+v\n%s", id, m, s.Log)
		}
	}
}

// wantWhole fails the test if an image is in a state that it may not be in, or available and not whole.
func (k *killed) wantWhole(s *service) {
	s.t.Helper()
	for i, id := range k.ids {
		switch m := s.image(id); {
		case m.Status == "available":
			if !k.seen[id] && !bytes.Equal(s.content(id), k.disks[i%len(k.disks)]) {
				s.t.Errorf("image %d is available and differs from its source", id)
			}
			k.seen[id] = true
		case k.seen[id], m.Status != "NEW" && m.Status != "pending":
			s.t.Fatalf("image %d after a crash: %+v", id, m)
		}
	}
}

// wantNoScratch: what a process had spooled goes with it, killed or not.
func (k *killed) wantNoScratch(t *testing.T, data string) {
	t.Helper()
	if n := bytesUnder(t, filepath.Join(data, "scratch")); n != 0 {
		t.Errorf("%d bytes left in scratch", n)
	}
}

// wantNothingCharged: who has no images has used nothing of a quota.
func wantNothingCharged(t *testing.T, s *service) {
	t.Helper()
	var answer struct {
		Usage struct {
			Account struct {
				Logical int64 `json:"logical_bytes"`
				Stored  int64 `json:"stored_bytes"`
				Images  int
			}
		}
	}
	if code := s.call("GET", "/v2/usage", nil, &answer); code != http.StatusOK {
		t.Fatalf("%d", code)
	}
	if a := answer.Usage.Account; a.Logical != 0 || a.Stored != 0 || a.Images != 0 {
		t.Errorf("the account is charged for %+v", a)
	}
}

// backwards is a qcow2 file whose clusters stand in the reverse order, so that all of it must come before the first is read.
func backwards(guest []byte) []byte {
	q := craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 16, Size: uint64(len(guest))})
	for i := int64(len(guest))/q.Cluster - 1; i >= 0; i-- {
		if b := guest[i*q.Cluster:][:q.Cluster]; bytes.Count(b, []byte{0}) < len(b) {
			q.Plain(i, b)
		}
	}
	return q.Bytes
}
