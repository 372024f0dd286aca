package api

import (
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTestLimiter() (*SlidingLimiter, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	l := NewLimiter()
	l.now = c.now
	return l, c
}

func TestLimiterMinute(t *testing.T) {
	l, c := newTestLimiter()
	begun := c.at
	for i := range requestsPerMinute {
		want := Rate{Limit: requestsPerHour, Remaining: requestsPerHour - 1 - i, Reset: begun.Add(time.Hour)}
		if got := l.Take(1); got != want {
			t.Fatalf("request %d: %+v, want %+v", i+1, got, want)
		}
		c.at = c.at.Add(100 * time.Millisecond) // 25 s in all
	}
	for range 2 { // what is refused does not count
		want := Rate{Limit: requestsPerHour, Remaining: requestsPerHour - requestsPerMinute, Reset: begun.Add(time.Hour), Wait: 35 * time.Second}
		if got := l.Take(1); got != want {
			t.Errorf("one too many: %+v, want %+v", got, want)
		}
	}
	if got := l.Take(2); got.Wait != 0 || got.Remaining != requestsPerHour-1 {
		t.Errorf("another token: %+v", got)
	}
	// It slides: when the first is a minute old there is room for one more, and no more than that.
	c.at = begun.Add(time.Minute)
	if got := l.Take(1); got.Wait != 0 {
		t.Errorf("after a minute: %+v", got)
	}
	if got := l.Take(1); got.Wait != 100*time.Millisecond {
		t.Errorf("and one more: %+v", got)
	}
}

func TestLimiterHour(t *testing.T) {
	l, c := newTestLimiter()
	begun := c.at
	for i := range requestsPerHour {
		if got := l.Take(1); got.Wait != 0 || got.Remaining != requestsPerHour-1-i {
			t.Fatalf("request %d: %+v", i+1, got)
		}
		c.at = c.at.Add(500 * time.Millisecond) // 2500 s in all
	}
	want := Rate{Limit: requestsPerHour, Remaining: 0, Reset: begun.Add(time.Hour), Wait: 1100 * time.Second}
	if got := l.Take(1); got != want {
		t.Errorf("one too many: %+v, want %+v", got, want)
	}
	c.at = begun.Add(time.Hour + 10*time.Second)
	if got := l.Take(1); got.Wait != 0 || got.Remaining != 20 {
		t.Errorf("when the first 21 are an hour old: %+v", got)
	}
}

func TestLimiterForgetsQuietTokens(t *testing.T) {
	l, c := newTestLimiter()
	for token := range int64(100) {
		l.Take(token)
	}
	c.at = c.at.Add(2 * time.Hour)
	if l.Take(1); len(l.recent) != 1 {
		t.Errorf("%d tokens are remembered", len(l.recent))
	}
}
