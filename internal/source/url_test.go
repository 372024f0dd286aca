package source

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/refusal"
)

var sum256 = strings.Repeat("0f", 32)

func TestCheckURL(t *testing.T) {
	for raw, code := range map[string]string{
		"https://example.com/disk.qcow2":                               "",
		"http://example.com":                                           "",
		"HTTP://EXAMPLE.com:8080/a%20b?x=y":                            "",
		"https://user:pa%40ss@example.com/d":                           "",
		"https://[2606:4700::1111]/d":                                  "",
		"https://bücher.example/d":                                     "",
		"https://my_bucket.example.com./d":                             "",
		"https://example.com/d#sha256=" + sum256:                       "",
		"https://example.com/d#SHA256=" + strings.ToUpper(sum256):      "",
		"https://example.com/d#sha512=" + sum256 + sum256:              "",
		"https://example.com/d#":                                       "",
		"https://127.0.0.1/":                                           "", // whether it may be dialled shows at the dial
		"":                                                             "url_scheme",
		"disk.qcow2":                                                   "url_scheme",
		"//example.com/d":                                              "url_scheme",
		"file:///etc/passwd":                                           "url_scheme",
		"ftp://example.com/d":                                          "url_scheme",
		"gopher://example.com/d":                                       "url_scheme",
		"upload:1234":                                                  "url_scheme",
		`json:{"driver":"file"}`:                                       "url_scheme",
		"http:example.com":                                             "url_invalid",
		"http://":                                                      "url_invalid",
		"http:///d":                                                    "url_invalid",
		"http://user@/d":                                               "url_invalid",
		"http://example.com:99999/":                                    "url_invalid",
		"http://example.com:0/":                                        "url_invalid",
		"http://example.com:http/":                                     "url_invalid",
		`http://example.com\@127.0.0.1/`:                               "url_invalid",
		"http://exa mple.com/":                                         "url_invalid",
		"http://a;b/":                                                  "url_invalid",
		"http://%31%32%37.0.0.1/":                                      "url_invalid",
		"http://example..com/":                                         "url_invalid",
		"http://.example.com/":                                         "url_invalid",
		"http://example.com../":                                        "url_invalid",
		"http://./":                                                    "url_invalid",
		"http://example.com/a\nb":                                      "url_invalid",
		"http://example.com/a\u0085b":                                  "url_invalid",
		"http://example.com/a\xff":                                     "url_invalid",
		"http://example.com/%zz":                                       "url_invalid",
		"http://" + strings.Repeat("a.", 127) + "example/":             "url_invalid",
		"http://example.com/" + strings.Repeat("a", MaxURL-19):         "",
		"http://example.com/" + strings.Repeat("a", MaxURL-18):         "url_too_long",
		"https://example.com/d#sha256=" + sum256[1:]:                   "url_checksum",
		"https://example.com/d#sha256=" + sum256[1:] + "g":             "url_checksum",
		"https://example.com/d#sha256=" + sum256 + "00":                "url_checksum",
		"https://example.com/d#sha256=":                                "url_checksum",
		"https://example.com/d#sha256":                                 "url_checksum",
		"https://example.com/d#sha512=" + sum256:                       "url_checksum",
		"https://example.com/d#md5=d41d8cd98f00b204e9800998ecf8427e":   "url_checksum",
		"https://example.com/d#sha256=" + sum256 + "&sha512=" + sum256: "url_checksum",
		"https://example.com/d#top":                                    "url_checksum",
	} {
		got := ""
		if err := CheckURL(raw); err != nil {
			got = refusal.As(err).Code
		}
		if got != code {
			t.Errorf("CheckURL(%.80q): %q, want %q", raw, got, code)
		}
	}
}

func TestRedact(t *testing.T) {
	got := map[string]string{}
	want := map[string]string{
		"https://user:pw@example.com/a/b.img?sig=S#sha256=0": "https://example.com/a/b.img?...",
		"http://example.com:8080/a%20b":                      "http://example.com:8080/a%20b",
		"http://example.com/http://user:pw@other/":           "http://example.com/...",
		"upload:secret":                  "upload:...",
		"user:pw@example.com":            "(a URL)",
		"http://user:p%zzw@example.com/": "(a URL)",
		"/path?sig=S":                    "(a URL)",
		"http:///user:pw@example.com/":   "(a URL)",
	}
	for raw := range want {
		got[raw] = Redact(raw)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseAllow(t *testing.T) {
	for s, good := range map[string]bool{
		"10.0.0.5": true, "10.0.0.5:8080": true, "10.0.0.0/8": true, "10.0.0.0/8:443": true,
		"fd00::1": true, "[fd00::1]:8080": true, "[fd00::1]": true, "fd00::/8": true, "[fd00::/8]:1": true, "::1": true,
		"mirror": true, "Mirror.LAN.": true, "mirror.lan:8080": true, "bücher.example": true, "0.0.0.0/0": true,
		"": false, ":80": false, "mirror:": false, "mirror:0": false, "mirror:65536": false, "mirror:a": false,
		"10.0.0.1/8": false, "10.0.0.0/33": false, "127.1": false, "2130706433": false, "0x7f000001": false,
		"[10.0.0.1]:80": false, "[fd00::1": false, "[fd00::1]80": false, "fe80::1%lo": false,
		"http://mirror": false, "*.lan": false, "a b": false, "mirror/8": false,
	} {
		if _, err := ParseAllow(s); (err == nil) != good {
			t.Errorf("ParseAllow(%q): %v, want success %v", s, err, good)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("https://user:pw@example.com:443/d?q#sha256=" + sum256)
	f.Add("http://①②⑦.0.0.1/")
	f.Add("http://[::ffff:127.0.0.1%25lo]:80/")
	f.Add("http://0x7f.1./")
	f.Add("http://example..com../d?q#sha256=" + sum256)
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := parseURL(raw)
		if err != nil {
			if refusal.As(err) == nil {
				t.Fatalf("%q: %v is no refusal", raw, err)
			}
			return
		}
		if got.url.User != nil || got.url.Fragment != "" || got.port() == 0 {
			t.Fatalf("%q: a hop with user, fragment or without a port: %+v", raw, got.url)
		}
		once, ok := canonicalHost(got.url.Hostname())
		if !ok || once != got.url.Hostname() {
			t.Fatalf("%q: the host %q is not canonical: %q", raw, got.url.Hostname(), once)
		}
		numericHost(once)
	})
}

// FuzzRedact builds URLs around a secret and looks for it in what is shown.
func FuzzRedact(f *testing.F) {
	f.Add("https", "user", "example.com", "/a", "k=v")
	f.Fuzz(func(t *testing.T, scheme, user, host, path, query string) {
		const secret = "sEcReT7"
		shown := Redact(scheme + "://" + url.PathEscape(user) + ":" + secret + "@" + host + "/" + url.PathEscape(path) + "?" + query + secret + "#" + secret)
		if strings.Contains(shown, secret) {
			t.Fatalf("the secret is in %q", shown)
		}
	})
}
