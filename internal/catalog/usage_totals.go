package catalog

import (
	"sync"
	"time"

	"ingot/internal/image"
)

const (
	// slowTotal is how long the sum of what an account holds may take and still be made for every request.
	slowTotal = 250 * time.Millisecond

	// totalShare bounds the time that goes into a slower sum: it is kept for so many times as long as it took, and for
	// longestTotal at most.
	totalShare   = 20
	longestTotal = 10 * time.Minute
)

// totals keeps what accounts hold where that is slow to add up: those of tens of thousands of images. The zero value is
// empty.
type totals struct {
	mu sync.Mutex
	of map[int64]keptTotal
}

type keptTotal struct {
	image.Usage
	until time.Time
}

func (k *totals) get(account int64, now time.Time) (image.Usage, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept, ok := k.of[account]
	if ok && now.After(kept.until) {
		delete(k.of, account)
		ok = false
	}
	return kept.Usage, ok
}

func (k *totals) put(account int64, u image.Usage, took time.Duration, now time.Time) {
	if took < slowTotal {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil {
		k.of = map[int64]keptTotal{}
	}
	k.of[account] = keptTotal{u, now.Add(min(totalShare*took, longestTotal))}
}
