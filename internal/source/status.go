package source

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"ingot/internal/refusal"
)

// refuseStatus turns a status that is no success into a refusal: passing for those that say "not now", with the time
// that the source asked for, permanent for the rest.
func refuseStatus(resp *http.Response) error {
	code, text := resp.StatusCode, http.StatusText(resp.StatusCode)
	switch code {
	case http.StatusUnauthorized:
		return refusal.New("source_unauthorized", "The source answered 401 Unauthorized: it wants a user and a password, or not these. "+
			"Put them in the URL (https://USER:PASSWORD@host/...) or use a signed link.")
	case http.StatusForbidden:
		return refusal.New("source_forbidden", "The source answered 403 Forbidden. Make the file public, or sign a new link: signed links run out.")
	case http.StatusNotFound:
		return refusal.New("source_not_found", "The source answered 404 Not Found: there is no file at the URL. Check its spelling.")
	case http.StatusGone:
		return refusal.New("source_gone", "The source answered 410 Gone: the file is no longer at the URL. Find its new address.")
	case http.StatusProxyAuthRequired:
		return refusal.Passing(nil, "source_proxy", "The service's proxy did not connect to the source. Tell its operator (--source-proxy).")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r := refusal.Passing(nil, "source_busy", "The source answered %d %s. Try again later.", code, text)
		r.RetryAfter = retryAfter(resp.Header, time.Now())
		return r
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return refusal.Passing(nil, "source_busy", "The source answered %d %s. Try again later.", code, text)
	}
	if code >= 500 {
		return refusal.Passing(nil, "source_failed", "The source answered %d %s: its server has a fault. Try again later, or ask whoever runs it.", code, text)
	}
	return refusal.New("source_status", "The source answered %d %s where a file was expected. Use an address that answers a plain GET with 200 and the file.", code, text)
}

// maxRetryAfter bounds what a source may ask for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads Retry-After (RFC 9110, 10.2.3), a number of seconds or a date. A date is compared with the answer's
// own, so that a wrong clock, there or here, does not matter. Zero: none, or none that makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// refuseEncoding refuses a body that was encoded on the way, which the request forbade. gzip is let through as it is:
// many servers give a stored .gz file so, and what a file is shows in its bytes.
func refuseEncoding(h http.Header) error {
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding"))) {
	case "", "identity", "gzip", "x-gzip":
		return nil
	}
	return refusal.New("source_encoding", "The source sends the file with a Content-Encoding that was not asked for. "+
		"Turn that off on its server, or publish the file as .gz.")
}
