package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"ingot/internal/refusal"
)

// errTotal is the cause of a transfer's end when it has used up Limits.Total.
var errTotal = errors.New("the time for the whole transfer is over")

// proxyError is what the operator's proxy did instead of connecting us.
type proxyError struct{ cause error }

func (e *proxyError) Error() string { return "the proxy: " + e.cause.Error() }

// refuseConnect runs when a proxy has answered CONNECT. 502 to 504 say that the target cannot be reached.
func refuseConnect(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("the proxy answered %d", resp.StatusCode)
	}
	return &proxyError{cause: fmt.Errorf("it answered CONNECT with %d", resp.StatusCode)}
}

// detail keeps an error's text for the log and drops its type: an io.ErrUnexpectedEOF of the network must not pass for
// the end of a file.
func detail(err error) error { return errors.New(err.Error()) }

// ended returns what the end of ctx means: a refusal when the transfer took too long, else whatever ended it.
func (c *Client) ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, errTotal) {
		return refusal.New("source_deadline", "The file did not arrive within %v. Put it on a faster server, or make it smaller: "+
			"qemu-img convert -c -O qcow2.", c.limits.Total)
	}
	return fmt.Errorf("source: %w", cause)
}

// failed turns the failure of a request into a refusal.
func (c *Client) failed(ctx context.Context, err error, pace pacer) error {
	var dns *net.DNSError
	if ctx.Err() == nil && (errors.Is(err, errTarget) || errors.As(err, &dns) && dns.IsNotFound) {
		if pace.wait(ctx) == nil {
			return refuseTarget()
		}
	}
	if ctx.Err() != nil {
		return c.ended(ctx)
	}
	if r := refuseTLS(err); r != nil {
		return r
	}
	return c.refuseConnection(err)
}

// refuseTarget is one text for every target that is not allowed, and for names that do not exist: the difference would
// tell what there is on the inside.
func refuseTarget() error {
	return refusal.New("source_not_allowed", "The URL does not lead to a public address on port 80 or 443, or its host does not exist. "+
		"Check its spelling, or put the file on a public server. An operator can allow a source of his own with --allow-source.")
}

func refuseTLS(err error) error {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	what := ""
	switch {
	case errors.As(err, &authority):
		what = "its certificate is signed by an authority that is not trusted here"
	case errors.As(err, &name):
		what = "its certificate is for another host name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		what = "its certificate has expired or is not valid yet"
	case errors.As(err, &invalid), errors.As(err, &verify):
		what = "its certificate is not valid"
	case errors.As(err, &record):
		what = "it does not speak TLS"
	case errors.As(err, &alert):
		what = "it ended the handshake"
	default:
		return nil
	}
	return refusal.Wrap(detail(err), "source_tls", "No secure connection to the source: %s. Correct that on the source's side; "+
		"for a certificate authority of his own, an operator names it with --source-ca.", what)
}

// refuseConnection is for what may pass: names that do not resolve just now, refused and broken connections.
func (c *Client) refuseConnection(err error) error {
	var (
		proxy   *proxyError
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &proxy):
		return refusal.Passing(detail(err), "source_proxy", "The service's proxy did not connect to the source. Tell its operator (--source-proxy).")
	case errors.As(err, &dns):
		return refusal.Passing(detail(err), "source_unresolved", "The name of the source's host could not be looked up. Try again later.")
	case errors.Is(err, syscall.ECONNREFUSED):
		return refusal.Passing(detail(err), "source_unreachable", "The source refused the connection. Check that its server runs and that the URL's port is right.")
	case errors.As(err, &timeout) && timeout.Timeout():
		return refusal.Passing(detail(err), "source_timeout", "The source did not answer in time (%v to connect, %v for the answer). Check that its server runs.",
			c.limits.Dial, c.limits.Header)
	}
	return refusal.Passing(detail(err), "source_unreachable", "The connection to the source failed before it had answered. "+
		"Check that the URL is right and that its server runs.")
}

// pacer makes an answer wait for the next multiple of a delay.
type pacer struct {
	start time.Time
	delay time.Duration
}

func newPacer(delay time.Duration) pacer { return pacer{start: time.Now(), delay: delay} }

func (p pacer) wait(ctx context.Context) error {
	return sleep(ctx, p.delay-time.Since(p.start)%p.delay)
}

// sleep waits for d, or returns an error when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
