package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ingot/internal/image"
	"ingot/internal/queue"
	"ingot/internal/store"
)

const (
	// settleAfter is how long no import may have run before packs are settled: imports that wait for each other are not
	// to find one in their way each time.
	settleAfter = 5 * time.Second

	// settleEvery is how often it is looked whether other processes have left something to settle.
	settleEvery = time.Minute
)

// settler knows when this process has time to settle packs: while none of its imports and transfers runs.
type settler struct {
	unsettled prometheus.Gauge
	settled   prometheus.Counter

	mu      sync.Mutex
	running int
	yield   context.CancelFunc // ends what is under way; nil: nothing is
	quiet   chan struct{}      // told when the last job has ended
}

func newSettler(m *metrics) *settler {
	s := &settler{
		unsettled: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ingot_store_unsettled_bytes", Help: "Bytes of packs that are compressed lightly and will be compressed well when no import runs."}),
		settled:   prometheus.NewCounter(prometheus.CounterOpts{Name: "ingot_settle_freed_bytes_total", Help: "Bytes that this process has freed by compressing such packs well."}),
		quiet:     make(chan struct{}, 1),
	}
	m.registry.MustRegister(s.unsettled, s.settled)
	return s
}

// openSettler lets settling make way for this process's jobs.
func (s *service) openSettler() {
	if s.runner == nil {
		return
	}
	s.settler = newSettler(s.metrics)
	s.runner.Work, s.copier.Work = s.settler.makesWay(s.runner.Work), s.settler.makesWay(s.copier.Work)
}

// yieldingWork is work that settling makes way for.
type yieldingWork struct {
	queue.Work
	s *settler
}

// makesWay returns the work, with settling ended as soon as a piece of it begins.
func (s *settler) makesWay(w queue.Work) queue.Work { return yieldingWork{w, s} }

func (w yieldingWork) Run(ctx context.Context, c image.Claim) error {
	w.s.begun()
	defer w.s.ended()
	return w.Work.Run(ctx, c)
}

func (s *settler) begun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	if s.yield != nil {
		s.yield()
	}
}

func (s *settler) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running > 0 {
		return
	}
	select {
	case s.quiet <- struct{}{}:
	default:
	}
}

// idle returns a context that ends as soon as a job begins, ended already if one runs.
func (s *settler) idle(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running > 0 {
		cancel()
	}
	s.yield = cancel
	return ctx, cancel
}

// settleLoop settles packs whenever no job has run for a while, until ctx ends.
func (s *service) settleLoop(ctx context.Context) {
	lowerPriority()
	timer := time.NewTimer(settleAfter)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.settler.quiet:
			timer.Reset(settleAfter)
			continue
		case <-timer.C:
		}
		if err := s.settleOnce(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("settling", "error", err)
		}
		timer.Reset(settleEvery)
	}
}

// settleOnce settles what there is, until a job begins, and counts what is left.
func (s *service) settleOnce(ctx context.Context) error {
	var failed error
	if s.cmd.Settle {
		idle, cancel := s.settler.idle(ctx)
		report, err := s.stores.settle(idle, store.SettleOptions{Idle: true})
		if idle.Err() == nil {
			failed = err
		}
		cancel()
		s.settler.settled.Add(float64(max(report.Before-report.After, 0))) // a pack may grow; a counter that falls panics
		if report.Packs > 0 {
			s.log.Info("settled", "packs", report.Packs, "bytes_before", report.Before, "bytes_after", report.After)
		}
	}
	_, bytes, err := s.catalog.Unsettled(ctx)
	s.settler.unsettled.Set(float64(bytes))
	return errors.Join(failed, err)
}

// settle settles every store and adds up what was done. A store that fails does not keep the others from it.
func (s *stores) settle(ctx context.Context, opt store.SettleOptions) (total store.SettleReport, err error) {
	for _, kept := range s.byID {
		report, failed := kept.Settle(ctx, opt)
		total.Add(report)
		err = errors.Join(err, failed)
	}
	return total, err
}
