package ingot

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"ingot/gradient"
	"ingot/gradient/internal/requestconfig"
)

// Limits of what streams.
const (
	stall       = time.Minute     // of silence before a connection counts as broken; services send comments far more often
	maxFailures = 5               // in a row, without a byte in between
	maxOutage   = 5 * time.Minute // without a byte, where the service is away: a restart, a router, a laptop that slept
)

var errStalled = errors.New("nothing moved for a minute")

// watch is a context that ends when nothing has been heard for a while.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newWatch(ctx context.Context) *watch {
	w := &watch{}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(stall, func() { w.cancel(errStalled) })
	return w
}

func (w *watch) heard() { w.timer.Reset(stall) }

// explain returns err, or that the silence was what ended it.
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); err != nil && errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// patience decides whether what broke is begun anew. Once something has been heard of the service it may be away for
// long: what has been moved by then is worth it.
type patience struct {
	failures int
	moved    time.Time // zero: never
}

func (p *patience) progress() { p.failures, p.moved = 0, time.Now() }

// again waits before another attempt. It returns what there is to tell the caller where there shall be none.
func (p *patience) again(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.failures++
	if final(cause) || p.failures >= maxFailures && !(away(cause) && time.Since(p.moved) < maxOutage) {
		return cause
	}
	if err := requestconfig.Wait(ctx, requestconfig.Backoff(p.failures-1)); err != nil {
		return errors.Join(err, cause)
	}
	return nil
}

// away reports whether the service could not be reached, or only a proxy before it.
func away(err error) bool {
	var e *gradient.Error
	if errors.As(err, &e) {
		return e.StatusCode == http.StatusBadGateway || e.StatusCode == http.StatusServiceUnavailable || e.StatusCode == http.StatusGatewayTimeout
	}
	return errors.As(err, new(*url.Error))
}

// final reports whether the same request would fail again.
func final(err error) bool {
	var changed *changedError
	var source *sourceError
	if errors.As(err, &changed) || errors.As(err, &source) {
		return true
	}
	var e *gradient.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooManyRequests:
		return false
	}
	return e.StatusCode < 500
}
