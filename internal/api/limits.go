package api

import (
	"strconv"
	"time"
)

// requestsPerHour is what the API that Ingot stands in for allows a token.
const requestsPerHour = 5000

// Limiter counts the requests of each token.
type Limiter interface {
	// Take counts one request of the token and says where that leaves it.
	Take(token int64) Rate
}

// Rate is what the three ratelimit headers say.
type Rate struct {
	Limit, Remaining int
	Reset            time.Time     // when the oldest request that counts will no longer do so
	Wait             time.Duration // more than zero: this request is refused, and one after so long will do
}

// unlimited is the limiter of a service that limits nothing.
type unlimited struct{}

func (unlimited) Take(int64) Rate { return full(time.Now()) }

// full is the rate of one who has asked nothing yet.
func full(now time.Time) Rate {
	return Rate{Limit: requestsPerHour, Remaining: requestsPerHour, Reset: now}
}

func (c *call) rate(r Rate) {
	h := c.Header()
	h["Ratelimit-Limit"] = []string{strconv.Itoa(r.Limit)}
	h["Ratelimit-Remaining"] = []string{strconv.Itoa(r.Remaining)}
	h["Ratelimit-Reset"] = []string{strconv.FormatInt(r.Reset.Unix(), 10)}
}
