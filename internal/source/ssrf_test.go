package source

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.255.255": true, "172.32.0.0": true,
		"168.63.129.15": true, "192.0.1.0": true, "198.17.255.255": true, "198.20.0.0": true, "223.255.255.255": true,
		"::ffff:8.8.8.8": true, "64:ff9b::808:808": true,
		"2606:4700:4700::1111": true, "2001:200::1": true, "2001:4860:4860::8888": true, "2a00:1450::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.100.100.200": false, "100.127.255.255": false,
		"127.0.0.1": false, "127.255.255.254": false, "168.63.129.16": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::8.8.8.8": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:0:127.0.0.1": false,
		"64:ff9b::a9fe:a9fe": false, "64:ff9b::7f00:1": false, "64:ff9b::a83f:8110": false, "64:ff9b:1::808:808": false,
		"2002:7f00:1::": false, "2002:a9fe:a9fe::": false, "2002:808:808::": false, "2001::1": false, "2001:0:53aa:64c::1": false,
		"2001:2::1": false, "2001:10::1": false, "2001:20::1": false, "2001:1ff:ffff::1": false, "2001:db8::1": false, "3fff::1": false, "3fff:fff::1": false,
		"100::1": false, "4000::1": false, "5f00::1": false, "fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%lo": false, "fec0::1": false, "ff02::1": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("public(%s) = %v, want %v", addr, got, want)
		}
	}
}

// spellings are ways to write what may not be dialled. The server of the test listens on {port} of 127.0.0.1.
var spellings = []string{
	"http://127.0.0.1:{port}/", "http://127.0.0.1/", "http://127.0.0.1./", "http://127.0.0.1:443/", "https://127.0.0.1/",
	"http://user@127.0.0.1:{port}/", "http://example.com:80@127.0.0.1:{port}/", "http://example.com%2f@127.0.0.1:{port}/",
	"http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/",
	"http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://0x7F.0.0.1:{port}/", "http://017700000001:{port}/", "http://0177.0.0.1:{port}/",
	"http://127.1:{port}/", "http://127.0.1:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/", "http://127.000.000.001:{port}/",
	"http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/", "http://１２７.0.0.1:{port}/", "http://0x:{port}/", "http://999.999.999.999/",
	"http://[::1]:{port}/", "http://[::]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::1%25lo]:{port}/", "http://[fe80::1%25lo]:{port}/",
	"http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/", "http://[64:ff9b::127.0.0.1]:{port}/",
	"http://[2002:7f00:1::]/", "http://[fd00:ec2::254]/", "http://169.254.169.254/latest/meta-data/", "http://100.100.100.200/", "http://192.0.0.192/",
	"http://168.63.129.16/", "http://10.0.0.1/", "http://192.168.0.1/", "http://172.16.0.1/", "http://255.255.255.255/",
	"http://8.8.8.8:22/", "http://8.8.8.8:8080/", "https://8.8.8.8:6443/", "http://[2606:4700::1111]:25/",
	"http://inner.test:{port}/", "http://inner.test/", "https://inner.test/", "http://inner6.test/", "http://mapped.test/", "http://meta.test/",
	"http://both.test/", "http://absent.test/", "http://absent.test:{port}/",
}

var innerNames = map[string]func(int) []string{
	"inner.test":  always("127.0.0.1"),
	"inner6.test": always("::1"),
	"mapped.test": always("::ffff:127.0.0.1"),
	"meta.test":   always("169.254.169.254"),
	"both.test":   always("10.0.0.1", "fd00::1"),
}

func TestForbiddenTargets(t *testing.T) {
	var hits atomic.Int64
	inner := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	port := inner[strings.LastIndexByte(inner, ':')+1:]
	dns := &names{zone: innerNames}
	c := newClient(t, func(o *Options) {
		o.Allow = nil
		o.Resolver = dns.resolver(t)
		o.Limits.RefusalDelay = 50 * time.Millisecond
	})
	var text string
	for _, s := range spellings {
		raw := strings.ReplaceAll(s, "{port}", port)
		start := time.Now()
		_, err := c.Open(t.Context(), raw)
		took := time.Since(start)
		r := mustRefuse(t, err, "source_not_allowed", false)
		if text == "" {
			text = err.Error()
		}
		if err.Error() != text || r.Cause != nil {
			t.Errorf("%s: another text: %v", s, err)
		}
		if took < c.limits.RefusalDelay {
			t.Errorf("%s: refused after %v, before the others", s, took)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests reached the inner server", hits.Load())
	}
}

// Each spelling is refused as the target of a redirect, too, with the same text as in a URL.
func TestForbiddenRedirects(t *testing.T) {
	var hits atomic.Int64
	inner := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	inner.Listener.Close()
	inner.Listener = l
	inner.Start()
	defer inner.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	outer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "a body that nobody reads")
	})
	dns := &names{zone: innerNames}
	outerPort := outer[strings.LastIndexByte(outer, ':')+1:]
	c := newClient(t, func(o *Options) {
		o.Allow = allow(t, "127.0.0.1:"+outerPort)
		o.Resolver = dns.resolver(t)
	})
	for _, s := range spellings {
		to := strings.ReplaceAll(strings.ReplaceAll(s, "{port}", port), "127.0.0.1:", "127.0.0.2:")
		_, err := c.Open(t.Context(), outer+"/?to="+url.QueryEscape(to))
		mustRefuse(t, err, "source_not_allowed", false)
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests reached the inner server", hits.Load())
	}
}

// A name that leads to an allowed address first and inside afterwards is refused when it is dialled again.
func TestNameChangesBetweenLookups(t *testing.T) {
	body := content(100_000, 1)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:40_000])
		cut(w)
	})
	port := base[strings.LastIndexByte(base, ':')+1:]
	dns := &names{zone: map[string]func(int) []string{"rebind.test": func(n int) []string {
		if n == 1 {
			return []string{"127.0.0.1"}
		}
		return []string{"127.0.0.2"}
	}}}
	c := newClient(t, func(o *Options) {
		o.Allow = allow(t, "127.0.0.1:"+port)
		o.Resolver = dns.resolver(t)
	})
	got, err := fetch(t, c, "http://rebind.test:"+port+"/")
	mustRefuse(t, err, "source_not_allowed", false)
	if len(got) != 40_000 {
		t.Errorf("%d bytes came before, want 40000", len(got))
	}
}

// Of several addresses those that are allowed are dialled, and no other.
func TestMixedAddresses(t *testing.T) {
	body := content(10_000, 2)
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	port := base[strings.LastIndexByte(base, ':')+1:]
	dns := &names{zone: map[string]func(int) []string{"mixed.test": always("127.0.0.9", "127.0.0.1", "::1")}}
	c := newClient(t, func(o *Options) {
		o.Allow = allow(t, "127.0.0.1:"+port)
		o.Resolver = dns.resolver(t)
	})
	mustFetch(t, c, "http://mixed.test:"+port+"/", body)
}

func TestAllowedSources(t *testing.T) {
	body := content(1000, 3)
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	port := base[strings.LastIndexByte(base, ':')+1:]
	dns := &names{zone: map[string]func(int) []string{"mirror.test": always("127.0.0.1"), "other.test": always("127.0.0.1")}}
	resolver := dns.resolver(t)
	for _, test := range []struct {
		entry, host string
		want        bool
	}{
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.1:" + port, "127.0.0.1", true},
		{"127.0.0.1:1", "127.0.0.1", false},
		{"127.0.0.0/8", "other.test", true},
		{"127.0.0.0/8:" + port, "other.test", true},
		{"127.0.0.0/8:1", "other.test", false},
		{"10.0.0.0/8", "127.0.0.1", false},
		{"mirror.test", "mirror.test", true},
		{"mirror.test", "MIRROR.test.", true},
		{"mirror.test:" + port, "mirror.test", true},
		{"mirror.test:1", "mirror.test", false},
		{"mirror.test", "other.test", false},
		{"mirror.test", "127.0.0.1", false},
		{"localhost", "127.0.0.1", false},
	} {
		t.Run(test.entry+" "+test.host, func(t *testing.T) {
			c := newClient(t, func(o *Options) { o.Allow, o.Resolver = allow(t, test.entry), resolver })
			got, err := fetch(t, c, "http://"+test.host+":"+port+"/")
			if test.want != (err == nil) {
				t.Fatalf("got %d bytes, %v; want success %v", len(got), err, test.want)
			}
			if err != nil {
				mustRefuse(t, err, "source_not_allowed", false)
			}
		})
	}
}

// A host that ends in a number is never looked up: resolvers do not agree on what it is.
func TestNumericHosts(t *testing.T) {
	base := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	zone := map[string]func(int) []string{}
	for _, host := range []string{"2130706433", "0x7f000001", "127.1", "0177.0.0.1", "mirror.1", "mirror.0x1f"} {
		zone[host] = always("127.0.0.1")
	}
	dns := &names{zone: zone}
	c := newClient(t, func(o *Options) { o.Resolver = dns.resolver(t) })
	for host := range zone {
		_, err := c.Open(t.Context(), strings.Replace(base, "127.0.0.1", host, 1))
		mustRefuse(t, err, "source_not_allowed", false)
	}
	dns.mu.Lock()
	defer dns.mu.Unlock()
	if len(dns.asked) > 0 {
		t.Errorf("looked up: %v", dns.asked)
	}
}

func TestOwnAddress(t *testing.T) {
	g := &guard{own: func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(8, 8, 4, 4), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("2606:4700::7"), Mask: net.CIDRMask(64, 128)}}, nil
	}}
	for addr, want := range map[string]bool{"8.8.4.4": false, "::ffff:8.8.4.4": false, "2606:4700::7": false, "64:ff9b::808:404": false, "64:ff9b::808:405": true, "8.8.4.5": true, "2606:4700::8": true} {
		if got := g.permits("", netip.MustParseAddr(addr), 443); got != want {
			t.Errorf("permits(%s) = %v, want %v", addr, got, want)
		}
	}
}

func TestLookupFailures(t *testing.T) {
	dns := &names{zone: map[string]func(int) []string{"broken.test": always("SERVFAIL")}}
	c := newClient(t, func(o *Options) { o.Resolver = dns.resolver(t) })
	_, err := c.Open(t.Context(), "http://broken.test/")
	mustRefuse(t, err, "source_unresolved", true)
	dns.mu.Lock()
	defer dns.mu.Unlock()
	if asked := dns.asked["broken.testTypeA"]; asked < c.limits.Tries {
		t.Errorf("looked up %d times, want at least %d tries", asked, c.limits.Tries)
	}
}
