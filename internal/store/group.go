package store

import (
	"context"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
)

// group is an errgroup in which a function's panic is its error. A disk decodes what strangers send, and an object may
// hold anything: what breaks over it is one write or one read, not the process with all the others.
type group struct{ *errgroup.Group }

// newGroup returns a group, and a context that ends with its first error, or with Wait.
func newGroup(ctx context.Context) (group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return group{g}, ctx
}

func (g group) Go(fn func() error) {
	g.Group.Go(func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return fn()
	})
}
