package main

import (
	"fmt"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
)

// stage is how far the work of a phase is. Rate and time left are those of the phase alone, and of what was done in it:
// bytes that an earlier run left took no time.
type stage struct {
	phase string
	begun time.Time
	from  int64 // bytes that were done when it began
	done  int64
	total int64 // 0: not known
}

func (s stage) moved(phase string, done, total int64, now time.Time) stage {
	if phase != s.phase || s.begun.IsZero() {
		return stage{phase, now, done, done, total}
	}
	// Less than at the beginning: a connection broke, and the other side has lost some.
	s.from, s.done, s.total = min(s.from, done), done, total
	return s
}

// longestLeft is how long may be left for a guess of it to mean anything.
const longestLeft = 100 * time.Hour

func (s stage) text(now time.Time) string {
	text := fmt.Sprintf("% .1f", decor.SizeB1024(s.done))
	if s.total > 0 {
		text += fmt.Sprintf(" of % .1f", decor.SizeB1024(s.total))
	}
	moved, took := float64(s.done-s.from), now.Sub(s.begun).Seconds()
	if moved <= 0 || took <= 0 {
		return text
	}
	text += fmt.Sprintf("  % .1f", decor.FmtAsSpeed(decor.SizeB1024(moved/took)))
	if left := float64(s.total-s.done) * took / moved; s.total > 0 && left < longestLeft.Seconds() {
		text += "  " + time.Duration(left*float64(time.Second)).Truncate(time.Second).String()
	}
	return text
}
