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
	limits Limits
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
	return &boundedConn{Conn: conn, limits: g.limits}, nil
}

// dialProxy connects to the operator's proxy, which is wherever it is.
func (g *guard) dialProxy(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &proxyError{cause: err}
	}
	return &boundedConn{Conn: conn, limits: g.limits}, nil
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
	return (port == 80 || port == 443) && public(addr) && !g.isOwn(bare(addr))
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

// boundedConn ends a read that brings nothing for a while, and a connection that brings too little. The time counts within
// a read alone, so a reader that pauses cuts no connection. It stands below TLS and chunked encoding, which wait for a whole
// record or line however slowly its bytes come.
type boundedConn struct {
	net.Conn
	limits Limits
	speed  speed
}

func (c *boundedConn) Read(p []byte) (int, error) {
	start := time.Now()
	if err := c.SetReadDeadline(start.Add(c.limits.Idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if c.speed.slow(c.limits, n, time.Since(start)) {
		return n, errSlow
	}
	return n, err
}

// errSlow is what a connection ends with that brings too little.
var errSlow = errors.New("the connection is too slow")

// speed is the average over the current window.
type speed struct {
	spent time.Duration // waiting for the source
	bytes int64
}

// slow counts a read and says, at the end of a window, whether it brought too little.
func (s *speed) slow(limits Limits, n int, spent time.Duration) bool {
	s.spent += spent
	s.bytes += int64(n)
	if s.spent < limits.RateWindow {
		return false
	}
	slow := float64(s.bytes) < float64(limits.MinRate)*s.spent.Seconds()
	*s = speed{}
	return slow
}

func isIdle(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
