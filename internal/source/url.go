package source

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"ingot/internal/refusal"
)

// MaxURL is the longest URL that is accepted, in bytes, a redirect's included: as long as the API takes one (image.MaxURL).
const MaxURL = 8192

// target is what a client asked for.
type target struct {
	hop
	want *checksum // nil: none given
}

// hop is one address on the way: the one that was asked for, or one that a redirect leads to.
type hop struct {
	url  *url.URL // without user and fragment; the host lower-case ASCII without a final dot
	user *url.Userinfo
}

// CheckURL refuses what can never be read: other schemes than http and https, more than MaxURL bytes, control
// characters, a fragment that is no checksum. It looks nothing up; whether the target may be dialled shows when it is.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (target, error) {
	if len(raw) > MaxURL {
		return target{}, refusal.New("url_too_long", "The URL has %d bytes; at most %d are accepted. Use a shorter one.", len(raw), MaxURL)
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, unicode.IsControl) {
		return target{}, refusal.New("url_invalid", "The URL holds control characters or is not UTF-8. Escape them (%%0A) or remove them.")
	}
	u, err := url.Parse(raw) // its error repeats the URL, with what is secret in it
	if err != nil {
		return target{}, malformed()
	}
	h, err := newHop(u)
	if err != nil {
		return target{}, err
	}
	want, err := parseChecksum(u.Fragment)
	if err != nil {
		return target{}, err
	}
	return target{hop: h, want: want}, nil
}

func malformed() error {
	return refusal.New("url_invalid", "The URL cannot be read. Write it like https://example.com/disk.qcow2, "+
		"with what is special in a user name, a password or a path escaped (%%40 for @).")
}

// newHop checks a URL's scheme, host and port and brings the host into the one spelling that is compared and dialled.
func newHop(u *url.URL) (hop, error) {
	if u.Scheme != "http" && u.Scheme != "https" {
		return hop{}, refusal.New("url_scheme", "The URL must begin with http:// or https://.")
	}
	host, ok := canonicalHost(u.Hostname())
	if !ok || u.Opaque != "" {
		return hop{}, malformed()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return hop{}, malformed()
		}
		host += ":" + strconv.FormatUint(n, 10)
	}
	bare := *u
	bare.Host, bare.User, bare.Fragment, bare.RawFragment = host, nil, "", ""
	return hop{url: &bare, user: u.User}, nil
}

// port returns the port that is dialled.
func (h hop) port() uint16 {
	if n, err := strconv.ParseUint(h.url.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	if h.url.Scheme == "https" {
		return 443
	}
	return 80
}

// canonicalHost maps full-width digits and the like as the HTTP client would (UTS 46), so that a host has one spelling
// before anything is compared with it. IPv6 addresses come and go without brackets.
func canonicalHost(host string) (string, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String(), true
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", false
		}
		host = ascii
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > 253 || strings.ContainsFunc(host, notInName) || slices.Contains(strings.Split(host, "."), "") {
		return "", false // an empty label is no name's (RFC 1035, 2.3.1), and a second final dot would be a second spelling
	}
	return host, true
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
}

// Redact returns a URL for logs and messages: without user, query and fragment, where secrets stand, and without a path
// that may hold another URL. What is no URL with a host is hidden.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err == nil && u.Scheme == "upload" {
		return "upload:..."
	}
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "(a URL)"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if strings.Contains(u.Path, "@") {
		shown.Path, shown.RawPath = "/...", ""
	}
	if u.RawQuery != "" {
		return shown.String() + "?..."
	}
	return shown.String()
}
