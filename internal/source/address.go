package source

import (
	"net/netip"
	"strings"
)

// refused lists what is not public among the IPv4 addresses and within 2000::/3: the IANA special-purpose registries
// (RFC 6890) and one address that a cloud made special.
var refused = prefixes(
	"0.0.0.0/8",        // this network; Linux dials 0.0.0.0 as loopback
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carriers' shared space; 100.100.100.200 is Alibaba's metadata service
	"127.0.0.0/8",      // loopback
	"168.63.129.16/32", // Azure's wire server, at a public address
	"169.254.0.0/16",   // link-local; 169.254.169.254 is most clouds' metadata service
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; 192.0.0.192 is Oracle's metadata service
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, and broadcast
	"2001::/23",        // protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4: any IPv4 address in disguise
	"3fff::/20",        // documentation
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last four bytes are an IPv4 address
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// bare is the address that is reached: without a zone, and out of an IPv6 address the IPv4 one that it stands for.
func bare(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !nat64.Contains(addr) {
		return addr
	}
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// public says whether an address is one that anybody may publish a file at.
func public(addr netip.Addr) bool {
	addr = bare(addr)
	if !addr.Is4() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, p := range refused {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// numericHost says whether a host that is no plain address ends in a number. Some resolvers take 2130706433, 0x7f.1,
// 127.1 and 0177.0.0.1 for 127.0.0.1, and no public name looks so (WHATWG URL, "ends in a number").
func numericHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
