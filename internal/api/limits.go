package api

import (
	"net/http"
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

// unlimited sets the headers of a service that limits nothing, and of answers before the token is known.
func (c *call) unlimited() {
	h := c.Header()
	h["Ratelimit-Limit"] = allRequests
	h["Ratelimit-Remaining"] = allRequests
	h["Ratelimit-Reset"] = []string{strconv.FormatInt(c.started.Unix(), 10)}
}

var allRequests = []string{strconv.Itoa(requestsPerHour)}

// count counts the request for its token, and refuses it where that is one too many.
func (c *call) count() error {
	if c.api.limiter == nil {
		return nil
	}
	r := c.api.limiter.Take(c.token.ID)
	h := c.Header()
	h["Ratelimit-Limit"] = []string{strconv.Itoa(r.Limit)}
	h["Ratelimit-Remaining"] = []string{strconv.Itoa(r.Remaining)}
	h["Ratelimit-Reset"] = []string{strconv.FormatInt(r.Reset.Unix(), 10)}
	if r.Wait > 0 {
		return &problem{http.StatusTooManyRequests, "too_many_requests", "API Rate limit exceeded.", r.Wait}
	}
	return nil
}
