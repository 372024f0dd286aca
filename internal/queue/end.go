package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

const (
	// longestDelay bounds what a source may ask for.
	longestDelay = time.Hour

	// stopGrace is how long a stopping service tries to hand an import back. If it cannot, the lease runs out.
	stopGrace = 5 * time.Second
)

// end does what follows from how the work ended and, if its context was cancelled, why.
func (r *Runner) end(stop, life context.Context, claim image.Claim, err, cause error) {
	log := r.logOf(claim).With("attempt", claim.Attempt)
	why := refusal.As(err)
	switch {
	case err == nil:
		log.InfoContext(life, r.Job+" finished")
	case errors.Is(err, image.ErrLeaseLost) || errors.Is(cause, image.ErrLeaseLost):
		log.WarnContext(life, r.Job+" given up: its lease is lost, or its image was deleted")
	case errors.Is(cause, errStopping):
		log.InfoContext(life, r.Job+" handed back: the service is stopping")
		r.settle(stop, life, claim, func(ctx context.Context) error { return r.Jobs.Release(ctx, claim) })
	case why == nil:
		reference := rand.Text()[:12]
		log.ErrorContext(life, r.Job+" met an internal error", "reference", reference, "error", err)
		r.again(stop, life, claim, refusal.Passing(err, "internal_error", "The %s met an internal error. "+
			"Try again; if it happens again, give the operator the reference %s, under which the log has the cause.", r.Job, reference))
	case why.Temporary:
		log.WarnContext(life, r.Job+" attempt failed", "code", why.Code, "error", err)
		r.again(stop, life, claim, why)
	default:
		log.InfoContext(life, r.Job+" failed", "code", why.Code, "error", err)
		r.fail(stop, life, claim, why.Code, why.Message)
	}
}

// logOf returns the log with what a claim is of.
func (r *Runner) logOf(claim image.Claim) *slog.Logger {
	log := r.Log.With("image", claim.ImageID)
	if claim.Action != 0 {
		log = log.With("action", claim.Action, "region", claim.Region)
	}
	return log
}

// again lets another attempt follow, or none if there were enough.
func (r *Runner) again(stop, life context.Context, claim image.Claim, why *refusal.Error) {
	if claim.Attempt >= r.MaxAttempts {
		r.fail(stop, life, claim, why.Code, fmt.Sprintf("%s (The last of %d attempts.)", why.Message, claim.Attempt))
		return
	}
	at := time.Now().Add(r.delay(claim.Attempt, why.RetryAfter))
	r.settle(stop, life, claim, func(ctx context.Context) error { return r.Jobs.Retry(ctx, claim, at, why) })
}

// delay returns how long to wait after an attempt: tripled with each, and not less than the source asked for.
func (r *Runner) delay(attempt int, asked time.Duration) time.Duration {
	d := r.FirstDelay
	for n := 1; n < attempt && d < r.MaxDelay; n++ {
		d *= 3
	}
	return min(max(jitter(min(d, r.MaxDelay)), asked), longestDelay)
}

func (r *Runner) fail(stop, life context.Context, claim image.Claim, code, message string) {
	r.settle(stop, life, claim, func(ctx context.Context) error { return r.Jobs.Fail(ctx, claim, code, message) })
}

// failBroken ends an import whose workers die again and again: it may be what kills them, and others wait.
func (r *Runner) failBroken(stop, life context.Context, claim image.Claim) {
	r.logOf(claim).ErrorContext(life, r.Job+" failed: its worker died too often", "times", claim.Broken)
	r.fail(stop, life, claim, "worker_died", fmt.Sprintf("The %s was cut off %d times because its worker died; it may "+
		"be the cause of that. Try again later; if it happens again, tell the operator.", r.Job, claim.Broken))
}

// settle writes down the end of a claim. A database that cannot be reached is tried again as long as the lease may hold;
// after that the lease runs out and another worker repeats the import.
func (r *Runner) settle(stop, life context.Context, claim image.Claim, write func(context.Context) error) {
	begun := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ctx, cancel := context.WithTimeout(life, r.Lease)
		err := write(ctx)
		cancel()
		switch limit := r.patience(stop); {
		case err == nil:
			return
		case errors.Is(err, image.ErrLeaseLost):
			r.logOf(claim).WarnContext(life, "the end was not written down: the lease is lost", "job", r.Job)
			return
		case time.Since(begun) > limit:
			r.logOf(claim).ErrorContext(life, "the end could not be written down; the "+r.Job+" will be repeated", "error", err)
			return
		}
		time.Sleep(pause)
	}
}

func (r *Runner) patience(stop context.Context) time.Duration {
	if stop.Err() != nil {
		return min(stopGrace, r.Lease)
	}
	return r.Lease
}
