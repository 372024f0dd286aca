package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"ingot/internal/refusal"
)

// transfer is the body of a file that is taken up again where a connection ended early. One goroutine reads it.
type transfer struct {
	client *Client
	ctx    context.Context // from Open to Close; ends with Limits.Total
	cancel context.CancelFunc
	target target

	body    io.ReadCloser
	version version
	begun   bool  // an answer has been accepted: version and size are known
	size    int64 // unknown until the source says it
	offset  int64 // bytes handed out

	failures int       // requests and connections since the last progress
	mark     int64     // offset at that progress
	since    time.Time // when it was
}

// connect asks for the file from offset on until there is an answer to read from.
func (t *transfer) connect() error {
	for {
		resp, err := t.request()
		if err == nil {
			return t.accept(resp)
		}
		if err := t.again(err); err != nil {
			return err
		}
	}
}

// request makes one request. Refusals that are Temporary are those that another one may overcome.
func (t *transfer) request() (*http.Response, error) {
	header := make(http.Header)
	if t.offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", t.offset))
		if v := t.version.ifRange(); v != "" {
			header.Set("If-Range", v)
		}
	}
	resp, err := t.client.get(t.ctx, t.target.hop, header)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	case t.offset > 0 && (resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		return resp, nil
	}
	resp.Body.Close()
	return nil, refuseStatus(resp)
}

// accept takes an answer's body as the file's next bytes.
func (t *transfer) accept(resp *http.Response) error {
	check := t.checkWhole
	if t.offset > 0 {
		check = t.checkRest
	}
	if err := check(resp); err != nil {
		resp.Body.Close()
		return err
	}
	t.body = resp.Body
	return nil
}

// again waits before another request, or returns err where there is to be none.
func (t *transfer) again(err error) error {
	limits := t.client.limits
	r := refusal.As(err)
	if r == nil || !r.Temporary || r.RetryAfter > limits.MaxWait {
		return err
	}
	if t.progressed() {
		t.failures, t.mark, t.since = 0, t.offset, time.Now()
	}
	most := limits.Tries
	if t.offset > 0 {
		most = limits.Resumes
	}
	if t.failures++; t.failures >= most {
		return err
	}
	wait := max(r.RetryAfter, backoff(limits, t.failures))
	t.client.log.Info("source: another request", "host", t.target.url.Hostname(), "at_byte", t.offset, "failures", t.failures, "wait", wait, "error", err)
	if sleep(t.ctx, wait) != nil {
		return t.client.ended(t.ctx)
	}
	return nil
}

// progressed says whether enough has come since the failures are counted. What came must make up for the time that they took,
// or a source that brings a little and then fails, again and again, would be waited for until Limits.Total.
func (t *transfer) progressed() bool {
	limits, n := t.client.limits, t.offset-t.mark
	return n >= limits.Progress && float64(n) >= float64(limits.MinRate)*time.Since(t.since).Seconds()
}

// backoff doubles from Backoff to MaxBackoff; half of it is chance, so that many imports do not come back at once.
func backoff(limits Limits, failures int) time.Duration {
	d := min(limits.Backoff<<min(failures-1, 16), limits.MaxBackoff)
	return d/2 + rand.N(d/2+1)
}

// Read returns the file's next bytes and io.EOF at its end; every other error is final.
func (t *transfer) Read(p []byte) (int, error) {
	for {
		n, err := t.body.Read(p)
		t.offset += int64(n)
		if n > 0 || err == nil { // an error that came with bytes comes again without
			return n, nil
		}
		if errors.Is(err, errSlow) {
			return 0, tooSlow(t.client.limits)
		}
		if err == io.EOF && (t.size == unknown || t.offset == t.size) {
			return 0, io.EOF
		}
		if t.ctx.Err() != nil {
			return 0, t.client.ended(t.ctx)
		}
		if err := t.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume takes the file up again after its connection ended early. Without anything that tells a changed file from
// the same one, only a checksum in the URL makes that safe.
func (t *transfer) resume(cause error) error {
	t.body.Close()
	why := "broke off"
	if isIdle(cause) {
		why = fmt.Sprintf("brought nothing for %v and was cut", t.client.limits.Idle)
	}
	err := refusal.Passing(detail(cause), "source_interrupted", "The connection to the source %s after %d bytes. Try again later, or use another server.", why, t.offset)
	if t.offset > 0 && t.version.ifRange() == "" && t.target.want == nil {
		return err
	}
	if err := t.again(err); err != nil {
		return err
	}
	return t.connect()
}

// Close ends the transfer; a Read that waits returns.
func (t *transfer) Close() error {
	t.cancel()
	return nil
}

func tooSlow(limits Limits) error {
	return refusal.Passing(nil, "source_too_slow", "The source sent less than %d bytes a second for %v. Use a faster server.", limits.MinRate, limits.RateWindow)
}
