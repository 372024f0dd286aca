// Package source turns a URL (or an upload) into bytes. It knows which addresses may be dialled, how to take up what
// broke off, and how long and how slow a transfer may be; it counts what arrives and takes its digest.
package source

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Options say where a Client may read and how. The zero value reads public addresses on ports 80 and 443.
type Options struct {
	UserAgent string        // "ingot/VERSION"; empty: "ingot"
	Allow     []Allow       // sources beyond the public ones: an operator's own mirrors
	Proxy     string        // URL of a proxy (http, https, socks5, socks5h); empty: none, whatever the environment says
	CA        []byte        // PEM certificates trusted besides the system's
	Resolver  *net.Resolver // nil: Go's own, never the C library's
	Log       *slog.Logger  // nil: no log. Nothing that is logged holds a secret
	Limits    Limits
}

// Client opens sources. Its methods may be called by several goroutines at once.
type Client struct {
	transport *http.Transport
	guard     *guard
	proxied   bool
	agent     string
	log       *slog.Logger
	limits    Limits
}

// New returns a client. An error says which option cannot be used; it holds no secret.
func New(opt Options) (*Client, error) {
	limits := opt.Limits.withDefaults()
	g := &guard{
		allow: opt.Allow,
		own:   net.InterfaceAddrs,
		dialer: net.Dialer{
			Timeout:  limits.Dial,
			Resolver: cmp.Or(opt.Resolver, &net.Resolver{PreferGo: true}),
		},
		limits: limits,
	}
	proxy, err := parseProxy(opt.Proxy)
	if err != nil {
		return nil, err
	}
	roots, err := trusted(opt.CA)
	if err != nil {
		return nil, err
	}
	return &Client{
		transport: newTransport(g, proxy, roots, limits),
		guard:     g,
		proxied:   proxy != nil,
		agent:     cmp.Or(opt.UserAgent, "ingot"),
		log:       cmp.Or(opt.Log, slog.New(slog.DiscardHandler)),
		limits:    limits,
	}, nil
}

// Open asks for the file at a URL and returns when the source has begun to answer. The URL may hold a user name and a
// password, and a checksum as its fragment. Errors are refusals, except that the end of ctx is returned as its cause.
func (c *Client) Open(ctx context.Context, rawURL string) (*Stream, error) {
	target, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Total, errTotal)
	t := &transfer{client: c, ctx: ctx, cancel: cancel, target: target, size: unknown, since: time.Now()}
	if err := t.connect(); err != nil {
		cancel()
		return nil, err
	}
	return newStream(t, max(t.size, 0), c.limits.MaxBytes, target.want), nil
}

func parseProxy(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("the proxy's address is no URL: write http://HOST:PORT") // err would show its password
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}
	return nil, fmt.Errorf("a proxy of kind %q is not known: write http, https, socks5 or socks5h", u.Scheme)
}

// trusted returns the system's certificate authorities and those in pem; nil is the system's alone.
func trusted(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without certificates still trusts those that it is given
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file of certificate authorities holds no PEM certificate")
	}
	return pool, nil
}
