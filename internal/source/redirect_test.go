package source

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func port(base string) string { return base[strings.LastIndexByte(base, ':')+1:] }

func TestRedirects(t *testing.T) {
	body := content(1000, 30)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/hops/%d", &n); err == nil && n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/hops/%d", n-1), http.StatusFound)
			return
		}
		if to, ok := r.URL.Query()["to"]; ok {
			if to[0] == "long" {
				to[0] = "/" + strings.Repeat("a", MaxURL)
			}
			if to[0] != "" {
				w.Header().Set("Location", to[0])
			}
			w.WriteHeader(http.StatusTemporaryRedirect)
			io.WriteString(w, strings.Repeat("a long body", 10_000))
			return
		}
		if got := r.Header.Get("Referer"); got != "" {
			t.Errorf("Referer: %q", got)
		}
		w.Write(body)
	})
	to := func(location string) string { return base + "/dir/?to=" + url.QueryEscape(location) }
	for _, test := range []struct{ url, code string }{
		{base + "/hops/5", ""},
		{base + "/hops/6", "source_redirect"},
		{to(base + "/file"), ""},
		{to("/file"), ""},
		{to("file?x=y"), ""},
		{to("//" + strings.TrimPrefix(base, "http://") + "/file"), ""},
		{to("http://user:pw@127.0.0.1:" + port(base) + "/file"), ""},
		{to("http://①②⑦.0.0.1:" + port(base) + "/file"), ""}, // the address it means is allowed
		{to("/file#sha256=00"), ""},
		{to("?to="), "source_redirect"},
		{to(""), "source_redirect"},
		{to("file:///etc/passwd"), "source_redirect"},
		{to("gopher://127.0.0.1/"), "source_redirect"},
		{to("ftp://127.0.0.1/"), "source_redirect"},
		{to("http://[::1"), "source_redirect"},
		{to("http:///file"), "source_redirect"},
		{to("long"), "source_redirect"},
		{to("http://10.0.0.1/"), "source_not_allowed"},
		{to("http://169.254.169.254/latest/"), "source_not_allowed"},
	} {
		if test.code == "" {
			mustFetch(t, newClient(t), test.url, body)
			continue
		}
		_, err := fetch(t, newClient(t), test.url)
		mustRefuse(t, err, test.code, false)
	}
}

func TestRedirectLoop(t *testing.T) {
	var asked atomic.Int64
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/", http.StatusMovedPermanently)
	})
	_, err := fetch(t, newClient(t), base)
	mustRefuse(t, err, "source_redirect", false)
	if asked.Load() != maxRedirects+1 {
		t.Errorf("%d requests", asked.Load())
	}
}

// A password goes to the server that it was written for, and never again after the way has left that server.
func TestPasswordOnRedirects(t *testing.T) {
	const secret = "Basic dXNlcjpwQHNz" // user:p@ss
	var (
		mu   sync.Mutex
		seen []string
	)
	record := func(name string, h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen = append(seen, name+" "+r.Header.Get("Authorization"))
			mu.Unlock()
			h(w, r)
		}
	}
	var first, second string
	second = serve(t, record("second", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			http.Redirect(w, r, first+"/end", http.StatusFound)
		}
	}))
	first = serve(t, record("first", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/port":
			http.Redirect(w, r, second+"/end", http.StatusFound)
		case "/name":
			http.Redirect(w, r, strings.Replace(first, "127.0.0.1", "localhost", 1)+"/end", http.StatusFound)
		case "/back":
			http.Redirect(w, r, second+"/back", http.StatusFound)
		case "/own":
			http.Redirect(w, r, strings.Replace(second, "//", "//other:pw@", 1)+"/end", http.StatusFound)
		}
	}))
	for path, want := range map[string]string{
		"/end":  "first " + secret,
		"/same": "first " + secret + ", first " + secret,
		"/port": "first " + secret + ", second ",
		"/name": "first " + secret + ", first ",
		"/back": "first " + secret + ", second , first ",
		"/own":  "first " + secret + ", second Basic b3RoZXI6cHc=",
	} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		if _, err := fetch(t, newClient(t), strings.Replace(first, "//", "//user:p%40ss@", 1)+path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		mu.Lock()
		if got := strings.Join(seen, ", "); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		mu.Unlock()
	}
}

func TestKeepsUser(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     bool
	}{
		{"http://a.test/", "http://a.test/x", true},
		{"http://a.test/", "http://A.test:80/", true},
		{"http://a.test/", "https://a.test/", true},
		{"http://a.test/", "https://a.test:8443/", false},
		{"http://a.test:8080/", "https://a.test/", false},
		{"http://a.test/", "http://b.a.test/", false},
		{"https://a.test/", "https://a.test:444/", false},
	} {
		from, err1 := parseURL(test.from)
		to, err2 := parseURL(test.to)
		if got := keepsUser(from.hop, to.hop); err1 != nil || err2 != nil || got != test.want {
			t.Errorf("%s to %s: %v, want %v", test.from, test.to, got, test.want)
		}
	}
}

func secureServer(t *testing.T, h http.HandlerFunc) (base string, ca []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestTLS(t *testing.T) {
	body := content(100_000, 31)
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	base, ca := secureServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			http.Redirect(w, r, plain, http.StatusFound)
		default:
			w.Write(body)
		}
	})
	trusting := newClient(t, func(o *Options) {
		o.CA = ca
		o.Allow = allow(t, "127.0.0.1", "localhost")
	})
	mustFetch(t, trusting, base, body)

	_, err := fetch(t, newClient(t), base)
	if r := mustRefuse(t, err, "source_tls", false); !strings.Contains(r.Message, "--source-ca") {
		t.Errorf("the message does not say what to do: %s", r.Message)
	}
	_, err = fetch(t, trusting, strings.Replace(base, "127.0.0.1", "localhost", 1)) // the certificate is for 127.0.0.1 and example.com
	mustRefuse(t, err, "source_tls", false)
	_, err = fetch(t, trusting, strings.Replace(plain, "http:", "https:", 1))
	mustRefuse(t, err, "source_tls", false)
	_, err = fetch(t, trusting, base+"/down")
	mustRefuse(t, err, "source_redirect_insecure", false)
}

func TestRefuseTLS(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string // in the message; "": not an error of TLS
	}{
		"authority": {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "authority that is not trusted"},
		"expired":   {&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, "expired"},
		"invalid":   {&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}}, "not valid"},
		"other":     {&tls.CertificateVerificationError{Err: io.ErrUnexpectedEOF}, "not valid"},
		"alert":     {&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, "handshake"},
		"network":   {&net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}, ""},
	} {
		err := refuseTLS(test.err)
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if r := mustRefuse(t, err, "source_tls", false); !strings.Contains(r.Message, test.want) {
			t.Errorf("%s: %s", name, r.Message)
		}
	}
}

func TestOptions(t *testing.T) {
	const secret = "sEcReT"
	for name, opt := range map[string]Options{
		"CA":           {CA: []byte("no certificate")},
		"proxy scheme": {Proxy: "ftp://user:" + secret + "@proxy:1"},
		"proxy":        {Proxy: "http://user:" + secret + "%zz@proxy:1"},
		"proxy host":   {Proxy: secret},
	} {
		if _, err := New(opt); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.limits != (Limits{}).withDefaults() || c.transport.Proxy != nil {
		t.Error("the zero options are not the defaults without a proxy")
	}
}

// proxy is a small forward proxy; it notes what it was asked for.
func proxy(t *testing.T, status int) (base string, asked *atomic.Pointer[string]) {
	asked = new(atomic.Pointer[string])
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization")
		asked.Store(&line)
		if status != 200 {
			w.WriteHeader(status)
			return
		}
		if r.Method != http.MethodConnect {
			resp, err := http.Get(r.RequestURI)
			if err != nil {
				w.WriteHeader(502)
				return
			}
			defer resp.Body.Close()
			io.Copy(w, resp.Body)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		defer to.Close()
		w.WriteHeader(200)
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		go io.Copy(to, from)
		io.Copy(from, to)
	}), asked
}

func TestProxy(t *testing.T) {
	body := content(100_000, 32)
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	secure, ca := secureServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	dns := &names{zone: map[string]func(int) []string{
		"inner.test": always("10.0.0.1"), "half.test": always("127.0.0.1", "10.0.0.1"), "known.test": always("127.0.0.1"),
	}}
	resolver := dns.resolver(t)
	through, asked := proxy(t, 200)
	client := func(at string) *Client {
		return newClient(t, func(o *Options) {
			o.Proxy, o.CA, o.Resolver = strings.Replace(at, "//", "//me:sEcReT@", 1), ca, resolver
			o.Allow = allow(t, "127.0.0.1:"+port(plain), "127.0.0.1:"+port(secure), "mirror.test") // and not the proxy, which needs none
		})
	}
	c := client(through)
	const auth = " Basic bWU6c0VjUmVU"
	mustFetch(t, c, plain+"/x", body)
	if got := *asked.Load(); got != "GET "+plain+"/x"+auth {
		t.Errorf("the proxy was asked: %s", got)
	}
	mustFetch(t, c, secure, body)
	if got := *asked.Load(); got != "CONNECT "+strings.TrimPrefix(secure, "https://")+auth {
		t.Errorf("the proxy was asked: %s", got)
	}

	asked.Store(nil)
	for _, host := range []string{"inner.test", "half.test", "absent.test", "10.0.0.1", "127.0.0.1", "known.test:81", "0x7f.1", "[::1]"} {
		_, err := fetch(t, c, "http://"+host+"/")
		mustRefuse(t, err, "source_not_allowed", false)
	}
	if got := asked.Load(); got != nil {
		t.Errorf("the proxy was asked for a target that is not allowed: %s", *got)
	}
	// A host name that the operator allows is the proxy's to resolve.
	if _, err := fetch(t, c, "http://mirror.test/"); asked.Load() == nil {
		t.Errorf("the proxy was not asked for an allowed name: %v", err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	forbids, _ := proxy(t, 403)
	fails, _ := proxy(t, 502)
	for _, test := range []struct{ at, url, code string }{
		{"http://" + l.Addr().String(), plain, "source_proxy"},
		{"http://" + l.Addr().String(), secure, "source_proxy"},
		{forbids, secure, "source_proxy"},
		{fails, secure, "source_unreachable"},
		{fails, plain, "source_failed"},
	} {
		_, err := fetch(t, client(test.at), test.url)
		mustRefuse(t, err, test.code, true)
		if strings.Contains(err.Error(), "sEcReT") {
			t.Errorf("the proxy's password is in %v", err)
		}
	}
}

// Whatever goes wrong, neither the log nor an error shows what the URL hides, or what a redirect's address does.
func TestSecretsStaySecret(t *testing.T) {
	const secret = "sEcReT7"
	var logged capture
	secure, _ := secureServer(t, func(http.ResponseWriter, *http.Request) {})
	body := content(50_000, 34)
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := strings.TrimPrefix(r.URL.Path, "/"); path {
		case "cut":
			w.Header().Set("Content-Length", "50000")
			w.Write(body[:20_000])
			cut(w)
		case "reset":
			cut(w)
		case "302":
			w.Header().Set("Location", "http://user:"+secret+"@10.0.0.1/?"+secret)
			w.WriteHeader(302)
		case "303":
			w.Header().Set("Location", "http://user:"+secret+"%zz@[::1/?"+secret)
			w.WriteHeader(303)
		case "loop":
			w.Header().Set("Location", r.URL.RequestURI())
			w.WriteHeader(302)
		case "":
		default:
			var status int
			fmt.Sscan(path, &status)
			w.WriteHeader(status)
		}
	})
	secrets := func(base, path string) string {
		return strings.Replace(base, "//", "//user:"+secret+"@", 1) + path + "?sig=" + secret
	}
	cases := []string{"http://user:" + secret + "%zz@host/", "http://user:" + secret + "@host:port/", secret + "://host/", secrets(secure, "/"),
		secrets("http://10.0.0.1", "/"), secrets("http://127.0.0.1:1", "/"), secrets("http://absent.invalid", "/"), secrets(base, "/") + "#md5=" + secret,
		secrets(base, "/") + "#sha256=" + sum256, secrets("http://0x7f.1", "/"), secrets("http://a\x7fb", "/"), "http://" + secret + "@/" + strings.Repeat(secret, 1000)}
	for _, path := range []string{"cut", "reset", "302", "303", "loop", "401", "403", "404", "416", "429", "500", "503"} {
		cases = append(cases, secrets(base, "/"+path))
	}
	dns := &names{}
	c := newClient(t, func(o *Options) { o.Log, o.Resolver = logged.logger(), dns.resolver(t) })
	for _, raw := range cases {
		_, err := fetch(t, c, raw)
		if err == nil {
			t.Errorf("%s succeeded", raw)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	log := logged.String()
	if !strings.Contains(log, "another request") {
		t.Error("nothing was logged, so nothing is proved")
	}
	if strings.Contains(log, secret) {
		t.Errorf("the log shows the secret:\n%s", log)
	}
}
