package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// bar is a progress bar on a terminal - phase, bytes, rate, time left - and nothing elsewhere.
type bar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	phase    atomic.Pointer[string]
}

func newBar(term terminal) *bar {
	b := &bar{}
	b.phase.Store(new(string))
	out, ok := term.Err.(interface{ Fd() uintptr })
	if !ok {
		return b
	}
	if _, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ); err != nil {
		return b
	}
	b.progress = mpb.New(mpb.WithOutput(term.Err), mpb.WithWidth(32), mpb.WithRefreshRate(100*time.Millisecond))
	b.bar = b.progress.AddBar(0,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return fmt.Sprintf("   %-10s ", *b.phase.Load()) })),
		mpb.AppendDecorators(
			decor.CountersKibiByte("% .1f of % .1f"), decor.Name("  "),
			decor.AverageSpeed(decor.SizeB1024(0), "% .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	return b
}

// show moves the bar; a total of 0 is one that is not known.
func (b *bar) show(phase string, done, total int64) {
	if b.bar == nil {
		return
	}
	b.phase.Store(&phase)
	b.bar.SetTotal(max(total, done), false)
	b.bar.SetCurrent(done)
}

// close takes the bar off the terminal.
func (b *bar) close() {
	if b.bar != nil {
		b.bar.Abort(true)
		b.progress.Wait()
	}
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
