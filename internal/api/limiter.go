package api

import (
	"sync"
	"time"
)

// requestsPerMinute is the second bound of the API that Ingot stands in for.
const requestsPerMinute = 250

// SlidingLimiter allows each token so many requests within any hour, and fewer within any minute. It keeps the time
// of every request that counts, so it is exact; that is some 40 KB for a token that uses all it may. Each process
// counts for itself. A request that is refused does not count.
type SlidingLimiter struct {
	now func() time.Time

	mu     sync.Mutex
	recent map[int64]*requests
	swept  time.Time
}

// NewLimiter returns a limiter with the figures of DigitalOcean: 5,000 requests an hour and 250 a minute.
func NewLimiter() *SlidingLimiter {
	return &SlidingLimiter{now: time.Now, recent: map[int64]*requests{}}
}

// requests are the times of a token's requests of the last hour, the oldest first.
type requests []time.Time

// Take counts one request of the token.
func (l *SlidingLimiter) Take(token int64) Rate {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.sweep(now)
	r := l.recent[token]
	if r == nil {
		r = &requests{}
		l.recent[token] = r
	}
	r.forget(now)
	wait := r.wait(now)
	if wait <= 0 {
		*r = append(*r, now)
	}
	return Rate{Limit: requestsPerHour, Remaining: requestsPerHour - len(*r), Reset: (*r)[0].Add(time.Hour), Wait: wait}
}

// forget drops what is an hour old. What is behind the front of the slice is freed when the slice grows next.
func (r *requests) forget(now time.Time) {
	old := 0
	for old < len(*r) && now.Sub((*r)[old]) >= time.Hour {
		old++
	}
	*r = (*r)[old:]
}

// wait returns how long it is until one more request is allowed; nothing if it is now.
func (r requests) wait(now time.Time) time.Duration {
	var wait time.Duration
	if n := len(r); n >= requestsPerHour {
		wait = r[n-requestsPerHour].Add(time.Hour).Sub(now)
	}
	if n := len(r); n >= requestsPerMinute {
		wait = max(wait, r[n-requestsPerMinute].Add(time.Minute).Sub(now))
	}
	return wait
}

// sweep drops tokens that have been quiet for an hour.
func (l *SlidingLimiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for token, r := range l.recent {
		if r.forget(now); len(*r) == 0 {
			delete(l.recent, token)
		}
	}
}
