package main

import (
	"context"
	"testing"

	"ingot/internal/image"
)

// job is work that runs until it is let go.
type job struct{ begun, end chan struct{} }

func (j job) Run(context.Context, image.Claim) error {
	close(j.begun)
	<-j.end
	return nil
}

// Settling ends when the first job begins, and may go on when the last one has ended.
func TestSettlingMakesWay(t *testing.T) {
	s := newSettler(newMetrics())
	first, second := job{make(chan struct{}), make(chan struct{})}, job{make(chan struct{}), make(chan struct{})}
	ended := make(chan error)
	run := func(j job) {
		go func() { ended <- s.makesWay(j).Run(t.Context(), image.Claim{}) }()
		<-j.begun
	}
	idle, cancel := s.idle(t.Context())
	defer cancel()
	if idle.Err() != nil {
		t.Error("no time although nothing runs")
	}
	run(first)
	if idle.Err() == nil {
		t.Error("settling goes on beside a job")
	}
	run(second)
	close(first.end)
	<-ended
	busy, cancel := s.idle(t.Context())
	defer cancel()
	if busy.Err() == nil || len(s.quiet) != 0 {
		t.Error("time although the second job runs")
	}
	close(second.end)
	<-ended
	if len(s.quiet) != 1 {
		t.Error("the end of the last job is not told")
	}
	idle, cancel = s.idle(t.Context())
	defer cancel()
	if idle.Err() != nil {
		t.Error("no time although all has ended")
	}
}
