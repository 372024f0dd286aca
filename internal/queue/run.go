package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"ingot/internal/image"
)

// runClaim runs one import, whose lease counts from claimed, and does what its end asks for.
func (r *Runner) runClaim(stop context.Context, claim image.Claim, claimed time.Time) {
	// The claim lives until its end is written down, even when the service stops; the work does not.
	life, over := context.WithCancel(context.WithoutCancel(stop))
	work, cancel := context.WithCancelCause(life)
	kept := make(chan struct{})
	defer func() {
		over()
		<-kept
	}()
	defer context.AfterFunc(stop, func() { cancel(errStopping) })()
	go func() {
		defer close(kept)
		r.keepLease(life, cancel, claim, claimed)
	}()
	if claim.Broken >= r.MaxBroken {
		r.failBroken(stop, life, claim)
		return
	}
	err := r.protected(work, claim)
	r.end(stop, life, claim, err, context.Cause(work))
}

// protected runs the work and turns a panic in it into an error.
func (r *Runner) protected(ctx context.Context, claim image.Claim) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.Work.Run(ctx, claim)
}

// keepLease renews the lease for the life of a claim. Where it cannot, it cancels the work a moment before anybody else
// may have the import, by a clock that does not jump; should this process have slept through that, the database still
// refuses what it writes.
func (r *Runner) keepLease(life context.Context, cancel context.CancelCauseFunc, claim image.Claim, claimed time.Time) {
	safe := r.Lease - r.Lease/10
	watchdog := time.AfterFunc(time.Until(claimed.Add(safe)), func() { cancel(image.ErrLeaseLost) })
	defer watchdog.Stop()
	tick := time.NewTicker(r.Lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		err := r.Jobs.Renew(life, claim, r.Lease)
		switch {
		case err == nil:
			watchdog.Reset(time.Until(asked.Add(safe)))
		case errors.Is(err, image.ErrLeaseLost):
			cancel(image.ErrLeaseLost)
			return
		case life.Err() == nil:
			r.logOf(claim).WarnContext(life, "a lease could not be renewed; trying again", "error", err)
		}
	}
}
