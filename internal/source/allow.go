package source

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Allow is a source that the operator allows beyond the public ones: a block of addresses or a host name, on one port
// or on all. A host name is compared with the host of the URL, or of the redirect; then any address it has may be dialled.
type Allow struct {
	block netip.Prefix // valid unless host is set
	host  string
	port  uint16 // 0: any
}

// ParseAllow reads an address, a block (10.0.0.0/8) or a host name, each with an optional port: 10.0.0.5:8080,
// [fd00::/8]:8080, mirror.lan:8080.
func ParseAllow(s string) (Allow, error) {
	body, port, err := splitAllow(s)
	if err != nil {
		return Allow{}, err
	}
	if prefix, err := netip.ParsePrefix(body); err == nil {
		if prefix != prefix.Masked() {
			return Allow{}, fmt.Errorf("allowed source %q: the block's address has bits beyond its length; write %s", s, prefix.Masked())
		}
		return Allow{block: prefix, port: port}, nil
	}
	if addr, err := netip.ParseAddr(body); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return Allow{block: netip.PrefixFrom(addr, addr.BitLen()), port: port}, nil
	}
	host, ok := canonicalHost(body)
	if !ok || strings.Contains(host, ":") || numericHost(host) {
		return Allow{}, fmt.Errorf("allowed source %q is no address, no block and no host name", s)
	}
	return Allow{host: host, port: port}, nil
}

// splitAllow takes the port off. IPv6 without brackets has none.
func splitAllow(s string) (body string, port uint16, err error) {
	body, tail := s, ""
	if inner, ok := strings.CutPrefix(s, "["); ok {
		var closed bool
		if body, tail, closed = strings.Cut(inner, "]"); !closed || !strings.Contains(body, ":") {
			return "", 0, fmt.Errorf("allowed source %q: brackets enclose an IPv6 address or block", s)
		}
	} else if strings.Count(s, ":") == 1 {
		at := strings.IndexByte(s, ':')
		body, tail = s[:at], s[at:]
	}
	if tail == "" {
		return body, 0, nil
	}
	digits, colon := strings.CutPrefix(tail, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !colon || err != nil || n == 0 {
		return "", 0, fmt.Errorf("allowed source %q: a port is a number from 1 to 65535", s)
	}
	return body, uint16(n), nil
}

// covers says whether a dial to addr, for a URL with this host, is one that the operator allows.
func (a Allow) covers(host string, addr netip.Addr, port uint16) bool {
	if a.port != 0 && a.port != port {
		return false
	}
	if a.host != "" {
		return a.host == host
	}
	return a.block.Contains(addr)
}
