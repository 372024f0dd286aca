package source

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// errTarget marks a target that may not be dialled.
var errTarget = errors.New("the target may not be dialled")

// guard decides which addresses may be dialled, and dials them.
type guard struct {
	allow  []Allow
	own    func() ([]net.Addr, error) // this machine's addresses
	dialer net.Dialer
	idle   time.Duration
}

// dial connects to a host that a URL names. Control runs after the look-up, for each address that is tried, so a name
// that changes between two look-ups gains nothing.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := g.dialer
	d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !g.permits(host, at.Addr(), at.Port()) {
			return errTarget
		}
		return nil
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &idleConn{Conn: conn, limit: g.idle}, nil
}

// dialProxy connects to the operator's proxy, which is wherever it is.
func (g *guard) dialProxy(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &proxyError{cause: err}
	}
	return &idleConn{Conn: conn, limit: g.idle}, nil
}

// check looks a hop's host up and refuses it unless every address may be dialled: which of them a proxy takes is not
// ours to say. The proxy looks the name up once more by itself, so it should refuse inner addresses, too.
func (g *guard) check(ctx context.Context, h hop) error {
	host := h.url.Hostname()
	if g.permits(host, netip.Addr{}, h.port()) {
		return nil // a host name that is allowed, wherever it leads
	}
	ctx, cancel := context.WithTimeout(ctx, g.dialer.Timeout)
	defer cancel()
	addrs, err := g.dialer.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if !g.permits(host, a, h.port()) {
			return errTarget
		}
	}
	return nil
}

func (g *guard) permits(host string, addr netip.Addr, port uint16) bool {
	addr = addr.Unmap().WithZone("")
	for _, a := range g.allow {
		if a.covers(host, addr, port) {
			return true
		}
	}
	return (port == 80 || port == 443) && public(addr) && !g.isOwn(addr)
}

// isOwn says whether an address is this machine's: a public one reaches services behind the machine's firewall.
func (g *guard) isOwn(addr netip.Addr) bool {
	own, err := g.own()
	if err != nil {
		return true
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(addr.AsSlice()) {
			return true
		}
	}
	return false
}

// idleConn ends a read that brings nothing for a while. The time counts within a read alone, so a reader that pauses
// cuts no connection.
type idleConn struct {
	net.Conn
	limit time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func isIdle(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
