package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/refusal"
)

func TestPlain(t *testing.T) {
	body := content(300_000, 10)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{"User-Agent": "ingot/test", "Accept-Encoding": "identity", "Range": "", "Referer": "", "Cookie": "", "Authorization": ""} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if r.Method != http.MethodGet || r.RequestURI != "/a%20b?x=y" {
			t.Errorf("%s %s", r.Method, r.RequestURI)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	})
	s, err := newClient(t).Open(t.Context(), url+"/a%20b?x=y")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Size() != int64(len(body)) || s.BytesRead() != 0 || s.SHA256() != "" {
		t.Errorf("at first: size %d, read %d, digest %q", s.Size(), s.BytesRead(), s.SHA256())
	}
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	sum := sha256.Sum256(body)
	if s.BytesRead() != int64(len(body)) || s.SHA256() != hex.EncodeToString(sum[:]) {
		t.Errorf("at the end: read %d, digest %q", s.BytesRead(), s.SHA256())
	}
}

func TestChecksum(t *testing.T) {
	body := content(100_000, 11)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.RequestURI, "sha") {
			t.Errorf("the fragment was sent: %s", r.RequestURI)
		}
		w.Write(body)
	})
	sum256, sum512, other := sha256.Sum256(body), sha512.Sum512(body), sha256.Sum256(body[1:])
	c := newClient(t)
	mustFetch(t, c, url+"#sha256="+hex.EncodeToString(sum256[:]), body)
	mustFetch(t, c, url+"#sha512="+strings.ToUpper(hex.EncodeToString(sum512[:])), body)
	_, err := fetch(t, c, url+"#sha256="+hex.EncodeToString(other[:]))
	mustRefuse(t, err, "source_checksum", false)
	_, err = fetch(t, c, url+"#sha512="+strings.Repeat("00", 64))
	mustRefuse(t, err, "source_checksum", false)
}

func TestUpload(t *testing.T) {
	body := content(10_000, 12)
	sum := sha256.Sum256(body)
	open := func(fragment string) (*Stream, error) {
		return Upload(io.NopCloser(bytes.NewReader(body)), int64(len(body)), "upload:7"+fragment)
	}
	s, err := open("#sha256=" + hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, body) || s.Size() != 10_000 || s.BytesRead() != 10_000 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err = open("#sha1=00"); err == nil {
		t.Error("a fragment that is no checksum was accepted")
	}
	s, _ = open("#sha256=" + strings.Repeat("00", 32))
	_, err = io.ReadAll(s)
	mustRefuse(t, err, "source_checksum", false)
}

func TestStatus(t *testing.T) {
	for status, want := range map[int]struct {
		code  string
		tries int // 1: permanent
	}{
		400: {"source_status", 1}, 401: {"source_unauthorized", 1}, 403: {"source_forbidden", 1}, 404: {"source_not_found", 1},
		405: {"source_status", 1}, 410: {"source_gone", 1}, 416: {"source_status", 1}, 418: {"source_status", 1}, 451: {"source_status", 1},
		203: {"source_status", 1}, 204: {"source_status", 1}, 206: {"source_status", 1}, 300: {"source_status", 1}, 304: {"source_status", 1},
		407: {"source_proxy", 3}, 408: {"source_busy", 3}, 425: {"source_busy", 3}, 429: {"source_busy", 3}, 503: {"source_busy", 3},
		500: {"source_failed", 3}, 501: {"source_failed", 3}, 502: {"source_failed", 3}, 504: {"source_failed", 3}, 599: {"source_failed", 3},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var asked atomic.Int64
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.WriteHeader(status)
			})
			_, err := fetch(t, newClient(t), url)
			r := mustRefuse(t, err, want.code, want.tries > 1)
			if asked.Load() != int64(want.tries) {
				t.Errorf("asked %d times, want %d", asked.Load(), want.tries)
			}
			if status != 407 && !strings.Contains(r.Message, fmt.Sprint(status)) {
				t.Errorf("the message does not name %d: %s", status, r.Message)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	body := content(1000, 13)
	for name, test := range map[string]struct {
		value  string
		limit  time.Duration
		waited time.Duration // at least; negative: passed up
	}{
		"short":    {"1", time.Minute, time.Second},
		"long":     {"3600", time.Minute, -time.Hour},
		"absurd":   {"99999999999999999999", time.Minute, 0},
		"greatest": {"2147483647", time.Minute, -maxRetryAfter},
		"negative": {"-5", time.Minute, 0},
		"no sense": {"soon", time.Minute, 0},
		"past":     {"Fri, 31 Dec 1999 23:59:59 GMT", time.Minute, 0},
		"date":     {"Fri, 31 Dec 2100 01:00:00 GMT", time.Minute, -time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > 1 {
					w.Write(body)
					return
				}
				w.Header().Set("Date", "Fri, 31 Dec 2100 00:00:00 GMT")
				w.Header().Set("Retry-After", test.value)
				w.WriteHeader(503)
			})
			c := newClient(t, func(o *Options) { o.Limits.MaxWait = test.limit })
			start := time.Now()
			if test.waited >= 0 {
				mustFetch(t, c, url, body)
				if took := time.Since(start); took < test.waited {
					t.Errorf("asked again after %v, want %v", took, test.waited)
				}
				return
			}
			_, err := fetch(t, c, url)
			if r := mustRefuse(t, err, "source_busy", true); r.RetryAfter != -test.waited {
				t.Errorf("RetryAfter %v, want %v", r.RetryAfter, -test.waited)
			}
		})
	}
}

func TestWaitIsCancelled(t *testing.T) {
	asked := make(chan struct{}, 1)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3000")
		w.WriteHeader(503)
		asked <- struct{}{}
	})
	c := newClient(t, func(o *Options) { o.Limits.MaxWait = time.Hour })
	stop := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(stop) }()
	if _, err := c.Open(ctx, url); !errors.Is(err, stop) || refusal.As(err) != nil {
		t.Errorf("%v, want the cause of the context's end", err)
	}
}

// Answers that are wrong, one by one; a nil want is a refusal.
func TestAnswers(t *testing.T) {
	body := content(50_000, 14)
	head := func(lines ...string) string { return "HTTP/1.1 200 OK\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" }
	chunk := func(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(b), b) }
	for name, test := range map[string]struct {
		answer string
		want   []byte
		code   string
		temp   bool
	}{
		"length too small":     {head("Content-Length: 40000") + string(body), body[:40_000], "", false},
		"length too large":     {head("Content-Length: 60000") + string(body), nil, "source_interrupted", true},
		"no length, 1.0":       {"HTTP/1.0 200 OK\r\n\r\n" + string(body), body, "", false},
		"no length, 1.1":       {head("Connection: close") + string(body), body, "", false},
		"chunked":              {head("Transfer-Encoding: chunked") + chunk(body[:1]) + chunk(body[1:]) + "0\r\n\r\n", body, "", false},
		"chunked, cut":         {head("Transfer-Encoding: chunked") + chunk(body), nil, "source_interrupted", true},
		"chunked, cut inside":  {head("Transfer-Encoding: chunked") + chunk(body)[:30_000], nil, "source_interrupted", true},
		"chunk size no number": {head("Transfer-Encoding: chunked") + chunk(body) + "zz\r\n", nil, "source_interrupted", true},
		"two lengths":          {head("Content-Length: 50000", "Content-Length: 3") + string(body), nil, "source_unreachable", true},
		"length negative":      {head("Content-Length: -1") + string(body), nil, "source_unreachable", true},
		"length over the most": {head("Content-Length: 105000000001") + string(body), nil, "source_too_large", false},
		"length absurd":        {head("Content-Length: 9223372036854775807") + string(body), nil, "source_too_large", false},
		"empty":                {head("Content-Length: 0"), []byte{}, "", false},
		"stored gzip":          {head("Content-Encoding: gzip", "Content-Length: 50000") + string(body), body, "", false},
		"identity":             {head("Content-Encoding: identity", "Content-Length: 50000") + string(body), body, "", false},
		"brotli":               {head("Content-Encoding: br", "Content-Length: 50000") + string(body), nil, "source_encoding", false},
		"gzip twice":           {head("Content-Encoding: gzip, gzip", "Content-Length: 50000") + string(body), nil, "source_encoding", false},
		"html":                 {head("Content-Type: text/html", "Content-Length: 50000") + string(body), body, "", false},
		"not HTTP":             {"SSH-2.0-OpenSSH_9.2\r\n", nil, "source_unreachable", true},
		"nothing":              {"", nil, "source_unreachable", true},
		"header too long":      {head("X-Long: "+strings.Repeat("a", 70_000), "Content-Length: 50000") + string(body), nil, "source_unreachable", true},
		"header within bounds": {head("X-Long: "+strings.Repeat("a", 50_000), "Content-Length: 50000") + string(body), body, "", false},
		"endless 100 Continue": {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 5000) + head("Content-Length: 50000") + string(body), nil, "source_unreachable", true},
	} {
		t.Run(name, func(t *testing.T) {
			url := raw(t, func(_ int, c net.Conn) { io.WriteString(c, test.answer) })
			if test.want != nil {
				mustFetch(t, newClient(t), url, test.want)
				return
			}
			_, err := fetch(t, newClient(t), url)
			mustRefuse(t, err, test.code, test.temp)
		})
	}
}

func TestEndlessBody(t *testing.T) {
	url := raw(t, func(_ int, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		for block := make([]byte, 64<<10); ; {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	c := newClient(t, func(o *Options) { o.Limits.MaxBytes = 4 << 20 })
	got, err := fetch(t, c, url)
	mustRefuse(t, err, "source_too_large", false)
	if len(got) > 5<<20 {
		t.Errorf("%d bytes were read under a limit of 4 MiB", len(got))
	}
}

func TestSlowSources(t *testing.T) {
	const start = "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"
	trickle := func(c net.Conn, text string, every time.Duration) {
		for i := range len(text) {
			if _, err := c.Write([]byte{text[i]}); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
	for name, test := range map[string]struct {
		scheme string
		limit  func(*Limits)
		serve  func(n int, c net.Conn)
		code   string
		temp   bool
	}{
		"no answer":      {"http", func(l *Limits) { l.Header = 50 * time.Millisecond }, func(_ int, c net.Conn) { gone(c) }, "source_timeout", true},
		"endless header": {"http", func(l *Limits) { l.Header = 50 * time.Millisecond }, func(_ int, c net.Conn) { trickle(c, strings.Repeat("X", 10_000), 5*time.Millisecond) }, "source_timeout", true},
		"no handshake":   {"https", func(l *Limits) { l.Handshake = 50 * time.Millisecond }, func(_ int, c net.Conn) { gone(c) }, "source_timeout", true},
		"stall": {"http", func(l *Limits) { l.Idle = 50 * time.Millisecond }, func(_ int, c net.Conn) {
			io.WriteString(c, start+strings.Repeat("x", 25_000))
			gone(c)
		}, "source_interrupted", true},
		"a byte at a time": {"http", func(l *Limits) { l.MinRate, l.RateWindow = 10_000, 100*time.Millisecond }, func(_ int, c net.Conn) {
			io.WriteString(c, start)
			trickle(c, strings.Repeat("x", 50_000), 5*time.Millisecond)
		}, "source_too_slow", true},
		"a chunk's line a byte at a time": {"http", func(l *Limits) { l.MinRate, l.RateWindow = 10_000, 100*time.Millisecond }, func(_ int, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
			trickle(c, strings.Repeat("x", 4000), 5*time.Millisecond)
		}, "source_too_slow", true},
		"total": {"http", func(l *Limits) { l.Total = 200 * time.Millisecond }, func(_ int, c net.Conn) {
			io.WriteString(c, start)
			trickle(c, strings.Repeat("x", 50_000), 5*time.Millisecond)
		}, "source_deadline", false},
	} {
		t.Run(name, func(t *testing.T) {
			url := raw(t, test.serve)
			if test.scheme == "https" { // the client's hello is no HTTP request: a server that only reads will do
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				url = "https://" + l.Addr().String()
			}
			c := newClient(t, func(o *Options) { test.limit(&o.Limits) })
			begin := time.Now()
			_, err := fetch(t, c, url)
			mustRefuse(t, err, test.code, test.temp)
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A reader that pauses is no slow source: neither the idle limit nor the rate counts its time.
func TestSlowReader(t *testing.T) {
	body := content(8<<20, 15)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	c := newClient(t, func(o *Options) {
		o.Limits.Idle, o.Limits.MinRate, o.Limits.RateWindow = 500*time.Millisecond, 64<<20, 700*time.Millisecond
	})
	s, err := c.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	buf := make([]byte, len(body))
	for i := range 2 {
		time.Sleep(800 * time.Millisecond)
		if _, err := io.ReadFull(s, buf[i*len(buf)/2:(i+1)*len(buf)/2]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(buf, body) {
		t.Error("the bytes differ")
	}
}

func TestEndOfContext(t *testing.T) {
	url := raw(t, func(_ int, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nsome")
		gone(c)
	})
	stop := errors.New("the image was deleted")
	ctx, cancel := context.WithCancelCause(t.Context())
	s, err := newClient(t).Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	time.AfterFunc(20*time.Millisecond, func() { cancel(stop) })
	if _, err := io.ReadAll(s); !errors.Is(err, stop) || refusal.As(err) != nil {
		t.Errorf("%v, want the cause of the context's end", err)
	}
}

func TestCloseEndsRead(t *testing.T) {
	url := raw(t, func(_ int, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nsome")
		gone(c)
	})
	s, err := newClient(t).Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { s.Close() })
	if _, err := io.ReadAll(s); err == nil {
		t.Error("a closed stream ended well")
	}
}

// Streams that are closed halfway leave neither goroutines nor connections.
func TestNothingLeaks(t *testing.T) {
	var open atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Add(-1)
		w.Write(make([]byte, 100_000))
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	c := newClient(t)
	before := runtime.NumGoroutine()
	for range 20 {
		s, err := c.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); open.Load() > 0 || runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, %d goroutines run, %d before", open.Load(), runtime.NumGoroutine(), before)
		}
	}
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = fetch(t, newClient(t), "http://"+l.Addr().String())
	mustRefuse(t, err, "source_unreachable", true)
}

func TestBusyAtFirst(t *testing.T) {
	body := content(1000, 16)
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(500)
		case 2:
			cut(w)
		default:
			w.Write(body)
		}
	})
	mustFetch(t, newClient(t), url, body)
}

// drip is a connection that writes a byte at a time, once it is told to.
type drip struct {
	net.Conn
	slow atomic.Bool
}

func (d *drip) Write(p []byte) (n int, err error) {
	for d.slow.Load() && n < len(p) && err == nil {
		_, err = d.Conn.Write(p[n : n+1])
		n++
		time.Sleep(5 * time.Millisecond)
	}
	if n > 0 || err != nil {
		return n, err
	}
	return d.Conn.Write(p)
}

// dripping listens for connections of that kind.
type dripping struct {
	net.Listener
	last atomic.Pointer[drip]
}

func (l *dripping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	d := &drip{Conn: c}
	l.last.Store(d)
	return d, err
}

// TestSlowRecord: a TLS record that arrives a byte at a time is one read for whoever reads what is in it.
func TestSlowRecord(t *testing.T) {
	l := &dripping{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "50000")
		w.Write(make([]byte, 1000))
		http.NewResponseController(w).Flush()
		l.last.Load().slow.Store(true)
		w.Write(make([]byte, 49_000))
	}))
	l.Listener = s.Listener
	s.Listener = l
	s.StartTLS()
	t.Cleanup(s.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	c := newClient(t, func(o *Options) {
		o.CA, o.Limits.MinRate, o.Limits.RateWindow = authority, 10_000, 200*time.Millisecond
	})
	begin := time.Now()
	_, err := fetch(t, c, s.URL)
	mustRefuse(t, err, "source_too_slow", true)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
