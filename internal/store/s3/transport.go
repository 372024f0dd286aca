package s3

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// longestSilence is how long a request, or the body of an answer, may stand still.
const longestSilence = 30 * time.Second

// newTransport returns a transport with as many connections as readers at once are likely to need.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		DisableCompression:    true,
	}
}

// stallGuard ends a request in which nothing moves any more. It looks at the bytes and not at the whole: a large part
// on a slow line takes its time.
type stallGuard struct {
	next  http.RoundTripper
	limit time.Duration
}

func (g *stallGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	stalled := fmt.Errorf("nothing moved for %v", g.limit)
	timer := time.AfterFunc(g.limit, func() { cancel(stalled) })
	moved := &movement{timer: timer, limit: g.limit, end: func() { timer.Stop(); cancel(nil) }, ctx: ctx}
	out := req.WithContext(ctx)
	if req.Body != nil {
		out.Body = &sending{req.Body, moved}
	}
	resp, err := g.next.RoundTrip(out)
	if err != nil {
		moved.end()
		return nil, moved.explain(err)
	}
	timer.Reset(g.limit)
	resp.Body = &receiving{resp.Body, moved}
	return resp, nil
}

// movement knows when the last byte moved.
type movement struct {
	timer *time.Timer
	limit time.Duration
	ctx   context.Context
	end   func()
}

func (m *movement) note(n int) {
	if n > 0 {
		m.timer.Reset(m.limit)
	}
}

// explain puts the stall in the place of the cancellation that it is seen as.
func (m *movement) explain(err error) error {
	if cause := context.Cause(m.ctx); err != nil && err != io.EOF && cause != nil && cause != context.Canceled {
		return cause
	}
	return err
}

type sending struct {
	io.ReadCloser
	moved *movement
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.moved.note(n)
	return n, err
}

type receiving struct {
	io.ReadCloser
	moved *movement
}

func (r *receiving) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.moved.note(n)
	return n, r.moved.explain(err)
}

func (r *receiving) Close() error {
	err := r.ReadCloser.Close()
	r.moved.end()
	return err
}
