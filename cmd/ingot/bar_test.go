package main

import (
	"testing"
	"time"
)

func TestRateAndTimeLeft(t *testing.T) {
	const mib = 1 << 20
	begun := time.Now()
	at := func(s stage, phase string, done, total int64, after time.Duration) stage {
		return s.moved(phase, done, total, begun.Add(after))
	}
	resumed := at(stage{}, "fetch", 100*mib, 120*mib, 0)
	halfway := at(resumed, "fetch", 110*mib, 120*mib, 10*time.Second)
	verifying := at(at(halfway, "verify", 0, 120*mib, 20*time.Second), "verify", 80*mib, 120*mib, 22*time.Second)
	endless := at(at(stage{}, "import", 0, 0, 0), "import", 3*mib, 0, time.Second)
	for _, test := range []struct {
		name  string
		s     stage
		after time.Duration
		want  string
	}{
		{"what was there took no time", resumed, 5 * time.Second, "100.0 MiB of 120.0 MiB"},
		{"only what was done since counts", halfway, 10 * time.Second, "110.0 MiB of 120.0 MiB  1.0 MiB/s  10s"},
		{"only since the phase began", verifying, 22 * time.Second, "80.0 MiB of 120.0 MiB  40.0 MiB/s  1s"},
		{"some was lost", at(halfway, "fetch", 90*mib, 120*mib, 10*time.Second), 10 * time.Second, "90.0 MiB of 120.0 MiB"},
		{"the end is not known", endless, time.Second, "3.0 MiB  3.0 MiB/s"},
		{"no time has passed", endless, 0, "3.0 MiB"},
		{"far too slow", at(resumed, "fetch", 100*mib+1, 1<<50, time.Hour), time.Hour, "100.0 MiB of 1024.0 TiB  0.0 b/s"},
	} {
		if got := test.s.text(begun.Add(test.after)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
