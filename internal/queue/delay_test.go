package queue

import (
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	r := &Runner{}
	r.init()
	for _, test := range []struct {
		attempt  int
		asked    time.Duration
		min, max time.Duration
	}{
		{1, 0, 7500 * time.Millisecond, 12500 * time.Millisecond},
		{2, 0, 22500 * time.Millisecond, 37500 * time.Millisecond},
		{3, 0, 67500 * time.Millisecond, 112500 * time.Millisecond},
		{9, 0, 450 * time.Second, 750 * time.Second},
		{1 << 40, 0, 450 * time.Second, 750 * time.Second},
		{1, time.Minute, time.Minute, time.Minute},
		{1, 24 * time.Hour, time.Hour, time.Hour},
		{1, -time.Hour, 7500 * time.Millisecond, 12500 * time.Millisecond},
	} {
		seen := map[time.Duration]bool{}
		for range 20 {
			d := r.delay(test.attempt, test.asked)
			if d < test.min || d > test.max {
				t.Errorf("attempt %d, asked for %v: %v is not in %v to %v", test.attempt, test.asked, d, test.min, test.max)
			}
			seen[d] = true
		}
		if test.min < test.max && len(seen) < 2 {
			t.Errorf("attempt %d: always %v", test.attempt, seen)
		}
	}
}
