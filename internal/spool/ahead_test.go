package spool

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// settle waits until a count has not moved for a while, and returns it.
func settle(count func() int64) int64 {
	for last, same := count(), 0; ; {
		time.Sleep(5 * time.Millisecond)
		now := count()
		if same++; now != last {
			same = 0
		}
		if last = now; same > 20 {
			return now
		}
	}
}

func TestMaxAhead(t *testing.T) {
	const ahead = 1 << 20
	s := open(t, only{&ones{}}, Options{MaxAhead: ahead, Interrupt: func() {}})
	within := func(frontier int64) {
		t.Helper()
		if n := settle(s.Arrived); n < frontier || n > frontier+ahead+step {
			t.Errorf("%d bytes arrived, %d were asked for, %d may come ahead", n, frontier, ahead)
		}
	}
	within(0)
	for _, off := range []int64{10, 5 << 20, 1 << 20, 9<<20 + 77} {
		if _, err := s.ReadAt(make([]byte, 100), off); err != nil {
			t.Fatal(err)
		}
	}
	within(9<<20 + 177)
}

// ones never ends.
type ones struct{}

func (*ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func TestWaitGoesPastMaxAhead(t *testing.T) {
	body := content(4<<20, 11)
	s := open(t, bytes.NewReader(body), Options{MaxAhead: 1})
	if n, err := s.Wait(t.Context()); n != int64(len(body)) || err != nil {
		t.Fatal(n, err)
	}
}

// Readers in any order never block for ever, however little may come ahead.
func TestMaxAheadNeverBlocks(t *testing.T) {
	body := content(3<<20, 12)
	for seed := range uint64(10) {
		s := open(t, &pieces{r: bytes.NewReader(body), rng: rand.New(rand.NewPCG(seed, 13))}, Options{MaxAhead: 1 + int64(seed)*50_000})
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() { readAtRandom(t, s, body, seed*10+uint64(w)) })
		}
		wg.Wait()
	}
}

// Close ends a stream that waits for its readers.
func TestCloseWhilePaused(t *testing.T) {
	s := open(t, only{&ones{}}, Options{MaxAhead: 1, Interrupt: func() {}})
	settle(s.Arrived)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(make([]byte, 1), 1<<30); err == nil || err == io.EOF {
		t.Errorf("a read after Close: %v", err)
	}
}
