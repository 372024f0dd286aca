package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// bar is a progress bar on a terminal - phase, bytes, rate, time left - and nothing elsewhere.
type bar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	mu       sync.Mutex // never held while mpb is called, which calls back for the text
	stage    stage
}

func newBar(term terminal) *bar {
	b := &bar{}
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
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return fmt.Sprintf("   %-10s ", b.now().phase) })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.now().text(time.Now()) })))
	return b
}

// show moves the bar; a total of 0 is one that is not known. Several may call it at once.
func (b *bar) show(phase string, done, total int64) {
	if b.bar == nil {
		return
	}
	if total > 0 {
		total = max(total, done) // what was announced may be too little
	}
	b.mu.Lock()
	b.stage = b.stage.moved(phase, done, total, time.Now())
	b.mu.Unlock()
	b.bar.SetTotal(total, false)
	b.bar.SetCurrent(done)
}

func (b *bar) now() stage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stage
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
