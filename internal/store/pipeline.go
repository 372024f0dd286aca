package store

import (
	"context"
)

// send hands a value on, unless the write has failed elsewhere.
func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// receive returns the next value; ok is false when the stage before is done.
func receive[T any](ctx context.Context, from <-chan T) (v T, ok bool, err error) {
	select {
	case v, ok = <-from:
		return v, ok, nil
	case <-ctx.Done():
		return v, false, context.Cause(ctx)
	}
}

// each calls fn for every value until the stage before is done, then closes out. After an error out stays open, so
// that what comes next can not take a failure for the end.
func each[T any](ctx context.Context, in <-chan T, out chan<- T, fn func(T) error) error {
	for {
		v, ok, err := receive(ctx, in)
		if err != nil {
			return err
		}
		if !ok {
			close(out)
			return nil
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}

// ordered is a stage of n workers. Segments are begun in order, each as soon as a worker is free, and leave in order.
func ordered(ctx context.Context, g group, n int, in <-chan *segment, work func(*segment) error) <-chan *segment {
	todo, begun, out := make(chan *segment), make(chan *segment, n), make(chan *segment, n)
	g.Go(func() error {
		err := each(ctx, in, begun, func(s *segment) error {
			if err := send(ctx, todo, s); err != nil {
				return err
			}
			return send(ctx, begun, s)
		})
		close(todo)
		return err
	})
	for range n {
		g.Go(func() error {
			for s := range todo {
				if err := work(s); err != nil {
					return err
				}
				s.done <- struct{}{} // has room: a segment is in one stage at a time
			}
			return nil
		})
	}
	g.Go(func() error {
		return each(ctx, begun, out, func(s *segment) error {
			if _, _, err := receive(ctx, s.done); err != nil {
				return err
			}
			return send(ctx, out, s)
		})
	})
	return out
}
