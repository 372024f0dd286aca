// Package queue runs imports, and transfers between stores: it claims them, keeps their leases, runs so many at once and
// decides what follows a failure. It knows nothing of the work itself.
package queue

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// Jobs is where the imports wait. Every method but Claim returns image.ErrLeaseLost once the lease is lost.
type Jobs interface {
	// Claim returns the next import, or nil where none waits.
	Claim(ctx context.Context, worker string, lease time.Duration) (*image.Claim, error)
	// Renew makes the lease last this long from now.
	Renew(ctx context.Context, claim image.Claim, lease time.Duration) error
	// Release hands the import back; the attempt does not count.
	Release(ctx context.Context, claim image.Claim) error
	// Retry ends an attempt; the next one starts at the given time or later.
	Retry(ctx context.Context, claim image.Claim, at time.Time, r *refusal.Error) error
	// Fail ends the import for good.
	Fail(ctx context.Context, claim image.Claim, code, message string) error
}

// Work is what is done with a claim.
type Work interface {
	// Run runs one import to its end and publishes it. Its context is cancelled when the lease is lost (the cause is
	// image.ErrLeaseLost) and when the service stops; it then returns soon and writes nothing more. A *refusal.Error in
	// the chain of its error says what the user reads and whether another attempt may help.
	Run(ctx context.Context, claim image.Claim) error
}

// Runner runs imports. Jobs, Work and Log must be set; the other fields have defaults.
type Runner struct {
	Jobs Jobs
	Work Work
	Log  *slog.Logger

	Job         string        // what a claim is called in the log and to users; import
	Workers     int           // claims at once; 2
	Name        string        // of the worker, for whoever reads the database; host and process
	Lease       time.Duration // after which a dead worker's import is taken over; 25 s
	Poll        time.Duration // between looks for new imports; 500 ms
	MaxAttempts int           // that end in a passing failure, before it is final; 5
	MaxBroken   int           // attempts whose worker died, before the import is held to be the cause; 30
	FirstDelay  time.Duration // before the second attempt; tripled with each; 10 s
	MaxDelay    time.Duration // 10 min; a source that asks for more is heard, up to an hour

	start sync.Once
	wake  chan struct{}
}

// errStopping is the cause of the cancellation when the service stops.
var errStopping = errors.New("the service is stopping")

// Wake makes an idle worker look for work at once.
func (r *Runner) Wake() {
	r.init()
	select {
	case r.wake <- struct{}{}:
	default: // as many wake-ups wait as there are workers
	}
}

// Run runs imports until ctx is cancelled. Then it cancels the work that runs, hands it back, and returns.
func (r *Runner) Run(ctx context.Context) {
	r.init()
	var wg sync.WaitGroup
	for range r.Workers {
		wg.Go(func() { r.worker(ctx) })
	}
	wg.Wait()
}

func (r *Runner) init() {
	r.start.Do(func() {
		r.Workers = cmp.Or(r.Workers, 2)
		r.Lease = cmp.Or(r.Lease, 25*time.Second)
		r.Poll = cmp.Or(r.Poll, 500*time.Millisecond)
		r.MaxAttempts = cmp.Or(r.MaxAttempts, 5)
		r.MaxBroken = cmp.Or(r.MaxBroken, 30)
		r.FirstDelay = cmp.Or(r.FirstDelay, 10*time.Second)
		r.MaxDelay = cmp.Or(r.MaxDelay, 10*time.Minute)
		r.Job = cmp.Or(r.Job, "import")
		if r.Name == "" {
			host, _ := os.Hostname()
			r.Name = host + ":" + strconv.Itoa(os.Getpid())
		}
		r.wake = make(chan struct{}, r.Workers)
	})
}

// worker runs one import after the other.
func (r *Runner) worker(ctx context.Context) {
	for ctx.Err() == nil {
		asked := time.Now()
		claim, err := r.Jobs.Claim(ctx, r.Name, r.Lease)
		switch {
		case err != nil && ctx.Err() == nil:
			r.Log.ErrorContext(ctx, "the queue cannot be read; trying again", "error", err)
			r.pause(ctx, 10*r.Poll)
		case claim != nil:
			r.runClaim(ctx, *claim, asked)
		default:
			r.pause(ctx, r.Poll)
		}
	}
}

// pause waits for about d, or until it is woken. Workers that poll one database drift apart.
func (r *Runner) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(jitter(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-r.wake:
	}
}

// jitter returns between three quarters and five quarters of d.
func jitter(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2+1)
}
