// Package pagination walks over lists that come in pages.
package pagination

import (
	"fmt"
	"iter"
	"net/url"
	"strconv"
)

// Fetch gets one page: its items and how to get the page after it, nil on the last.
type Fetch[T any] func() ([]T, Fetch[T], error)

// AutoPager walks over all items of a list, and fetches pages as they are needed:
//
//	for pager.Next() {
//		item := pager.Current()
//	}
//	err := pager.Err()
type AutoPager[T any] struct {
	fetch Fetch[T]
	items []T
	cur   T
	index int
	err   error
}

// NewAutoPager returns a pager that begins with what first fetches.
func NewAutoPager[T any](first Fetch[T]) *AutoPager[T] { return &AutoPager[T]{fetch: first} }

// Next moves to the next item; false at the end, and at an error. A page without items is the end, whatever its
// links say.
func (p *AutoPager[T]) Next() bool {
	if len(p.items) == 0 && p.fetch != nil && p.err == nil {
		p.items, p.fetch, p.err = p.fetch()
	}
	if p.err != nil || len(p.items) == 0 {
		p.items, p.fetch = nil, nil
		return false
	}
	p.cur, p.items = p.items[0], p.items[1:]
	p.index++
	return true
}

// Current returns the item that Next moved to.
func (p *AutoPager[T]) Current() T { return p.cur }

// Index returns the number of items that Next has moved past, the current one included.
func (p *AutoPager[T]) Index() int { return p.index }

// Err returns what ended the walk early, nil at the end of the list.
func (p *AutoPager[T]) Err() error { return p.err }

// All returns the items that are left, for a range loop. An error is the last pair.
func (p *AutoPager[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for p.Next() {
			if !yield(p.cur, nil) {
				return
			}
		}
		if p.err != nil {
			var zero T
			yield(zero, p.err)
		}
	}
}

// NextPage reads the number of the page that a link leads to; 0 where there is no link. Of the link only that number
// is used, so that a server cannot send the client, and the token with it, somewhere else. A number that is not after
// current is an error, since it would be a loop.
func NextPage(link string, current int64) (int64, error) {
	if link == "" {
		return 0, nil
	}
	u, err := url.Parse(link)
	if err != nil {
		return 0, fmt.Errorf("the link to the next page: %w", err)
	}
	n, err := strconv.ParseInt(u.Query().Get("page"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the link to the next page has no page number: %q", link)
	}
	if n <= current {
		return 0, fmt.Errorf("the page after %d is page %d, says the server: the list would have no end", current, n)
	}
	return n, nil
}
