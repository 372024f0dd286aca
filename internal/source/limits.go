package source

import (
	"cmp"
	"time"
)

// Limits bound one transfer. A zero field means the value in brackets.
type Limits struct {
	Dial      time.Duration // look-up and connection together (10 s)
	Handshake time.Duration // TLS (10 s)
	Header    time.Duration // from the request to the end of the answer's header (30 s)
	Idle      time.Duration // a connection that brings nothing for this long is cut, and resumed (60 s)
	Total     time.Duration // from Open to the last byte, the reader's own time included (24 h)

	// A connection slower than MinRate bytes a second (16 KiB) on average over RateWindow (2 min) ends the transfer. Only
	// time spent waiting for the source counts, so a slow reader is no slow source.
	MinRate    int64
	RateWindow time.Duration

	Tries      int           // requests in a row without success before the first byte (4)
	Resumes    int           // the same after it (10); Progress bytes set the count back, at MinRate or faster, waits included
	Progress   int64         // (1 MiB)
	Backoff    time.Duration // wait before the second try; doubles, with jitter (500 ms)
	MaxBackoff time.Duration // (30 s)
	MaxWait    time.Duration // longest Retry-After that is waited for here; beyond it the refusal is passed up (60 s)

	// A refused target is answered at a multiple of RefusalDelay (1 s), so that time does not tell a name that does
	// not exist from one that leads inside.
	RefusalDelay time.Duration

	MaxBytes int64 // largest file (105 GB: the largest image and a wrapper's overhead)
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Dial:         cmp.Or(l.Dial, 10*time.Second),
		Handshake:    cmp.Or(l.Handshake, 10*time.Second),
		Header:       cmp.Or(l.Header, 30*time.Second),
		Idle:         cmp.Or(l.Idle, 60*time.Second),
		Total:        cmp.Or(l.Total, 24*time.Hour),
		MinRate:      cmp.Or(l.MinRate, 16<<10),
		RateWindow:   cmp.Or(l.RateWindow, 2*time.Minute),
		Tries:        cmp.Or(l.Tries, 4),
		Resumes:      cmp.Or(l.Resumes, 10),
		Progress:     cmp.Or(l.Progress, 1<<20),
		Backoff:      cmp.Or(l.Backoff, 500*time.Millisecond),
		MaxBackoff:   cmp.Or(l.MaxBackoff, 30*time.Second),
		MaxWait:      cmp.Or(l.MaxWait, 60*time.Second),
		RefusalDelay: cmp.Or(l.RefusalDelay, time.Second),
		MaxBytes:     cmp.Or(l.MaxBytes, 105_000_000_000),
	}
}
