package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"

	"ingot/internal/refusal"
)

const (
	maxRedirects   = 5
	maxHeaderBytes = 64 << 10
	readBuffer     = 64 << 10
)

// newTransport makes a transport that does nothing by itself: no proxy from the environment, no decompression, no
// redirects (request follows them), and a connection for each request, so that each is checked and none is shared.
func newTransport(g *guard, proxy *url.URL, roots *x509.CertPool, limits Limits) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		DialContext:            g.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    limits.Handshake,
		ResponseHeaderTimeout:  limits.Header,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ReadBufferSize:         readBuffer,
		DisableCompression:     true,
		DisableKeepAlives:      true,
		Protocols:              protocols,
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
		t.DialContext = g.dialProxy
		t.OnProxyConnectResponse = refuseConnect
	}
	return t
}

// get asks for a target and follows redirects. Each hop is checked as the first one was; the password stays with the
// host that it was given for, and is not picked up again where a later hop leads back there.
func (c *Client) get(ctx context.Context, at hop, header http.Header) (*http.Response, error) {
	for redirects := 0; ; redirects++ {
		resp, err := c.send(ctx, at, header)
		if err != nil {
			return nil, err
		}
		if !redirected(resp.StatusCode) {
			return resp, nil
		}
		resp.Body.Close()
		if redirects == maxRedirects {
			return nil, refusal.New("source_redirect", "The source redirects more than %d times. Use the address that the file is really at.", maxRedirects)
		}
		next, err := follow(at.url, resp.Header.Get("Location"))
		if err != nil {
			return nil, err
		}
		if next.user == nil && keepsUser(at, next) {
			next.user = at.user
		}
		at = next
	}
}

// send makes one request. A status is no error here.
func (c *Client) send(ctx context.Context, at hop, header http.Header) (*http.Response, error) {
	pace := newPacer(c.limits.RefusalDelay)
	if numericHost(at.url.Hostname()) {
		return nil, c.failed(ctx, errTarget, pace)
	}
	if c.proxied {
		if err := c.guard.check(ctx, at); err != nil {
			return nil, c.failed(ctx, err, pace)
		}
	}
	req := (&http.Request{Method: http.MethodGet, URL: at.url, Host: at.url.Host, Header: header.Clone()}).WithContext(ctx)
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity")
	if at.user != nil {
		password, _ := at.user.Password()
		req.SetBasicAuth(at.user.Username(), password)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, c.failed(ctx, err, pace)
	}
	return resp, nil
}

func redirected(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow resolves a redirect's Location. Its text is not repeated: it often carries a signature.
func follow(from *url.URL, location string) (hop, error) {
	bad := refusal.New("source_redirect", "The source redirects to what is no http or https address that could be followed. "+
		"Use the address that the file is really at.")
	if location == "" || len(location) > MaxURL {
		return hop{}, bad
	}
	u, err := from.Parse(location)
	if err != nil {
		return hop{}, bad
	}
	next, err := newHop(u)
	if err != nil {
		return hop{}, bad
	}
	if from.Scheme == "https" && next.url.Scheme == "http" {
		return hop{}, refusal.New("source_redirect_insecure", "The source redirects from https to http, where anybody on the way could "+
			"change the file. Use an https address that leads to it, or, where you accept that, the http address itself.")
	}
	return next, nil
}

// keepsUser says whether a redirect stays with the server that the password is for: the same host and port, or the
// same host's step from http to https.
func keepsUser(from, to hop) bool {
	if from.url.Hostname() != to.url.Hostname() {
		return false
	}
	same := from.url.Scheme == to.url.Scheme && from.port() == to.port()
	return same || (from.port() == 80 && to.url.Scheme == "https" && to.port() == 443)
}
