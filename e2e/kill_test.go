package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// TestKilledAtAnyMoment kills the service at random moments of an import - queued, fetching, writing packs, publishing,
// done - and starts it again on the same data. No image may be lost, half visible or wrong, and nothing may be left.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 8
	if full() {
		rounds = 50
	}
	disks := [][]byte{rawDisk(6<<20, 31), rawDisk(6<<20, 32)}
	o := newOrigin(t, map[string][]byte{"0": gzipped(t, disks[0]), "1": disks[1]})
	data := t.TempDir()
	rng := rand.New(rand.NewPCG(4, 4))
	ids := []int64{}
	for round := range rounds {
		o.rate.Store(8 << 20)
		s := start(t, data, "--allow-source", o.allow())
		s.wantWhole(ids, disks)
		ids = append(ids, s.create(fmt.Sprint("round ", round), fmt.Sprint(o.URL, "/", round%2)))
		time.Sleep(time.Duration(rng.IntN(1200)) * time.Millisecond)
		if round%10 == 9 { // an import that is cut off thirty times is given up
			o.rate.Store(0)
			s.settled(ids[0])
			s.settled(ids[round])
		}
		s.Kill()
	}

	o.rate.Store(0)
	s := start(t, data, "--allow-source", o.allow())
	for i, id := range ids {
		if m := s.settled(id); m.Status != "available" {
			t.Fatalf("image %d: %+v\n%s", id, m, s.Log)
		}
		if p := s.progress(id); p.Attempt != 1 {
			t.Errorf("image %d: its interruptions count as %d attempts", id, p.Attempt)
		}
		if !bytes.Equal(s.content(id), disks[i%2]) {
			t.Errorf("image %d differs from its source", id)
		}
	}
	for _, id := range ids {
		s.delete(id)
	}
	s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(data, "store")) == 0 })
	if n := bytesUnder(t, filepath.Join(data, "scratch")); n != 0 {
		t.Errorf("%d bytes left in scratch", n)
	}
}

// wantWhole fails the test if an image is in a state that it may not be in, or available and not whole.
func (s *service) wantWhole(ids []int64, disks [][]byte) {
	s.t.Helper()
	for i, id := range ids {
		switch m := s.image(id); m.Status {
		case "NEW", "pending":
		case "available":
			if !bytes.Equal(s.content(id), disks[i%2]) {
				s.t.Errorf("image %d is available and differs from its source", id)
			}
		default:
			s.t.Fatalf("image %d after a crash: %+v", id, m)
		}
	}
}
