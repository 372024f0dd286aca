package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"ingot/internal/refusal"
)

// quick are limits under which every wait takes milliseconds.
var quick = Limits{
	Dial: 5 * time.Second, Handshake: 5 * time.Second, Header: 5 * time.Second, Idle: 5 * time.Second, Total: time.Minute,
	MinRate: 1, RateWindow: time.Minute,
	Tries: 3, Resumes: 3, Progress: 4 << 10, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, MaxWait: 5 * time.Second,
	RefusalDelay: time.Millisecond,
}

func newClient(t testing.TB, change ...func(*Options)) *Client {
	t.Helper()
	opt := Options{UserAgent: "ingot/test", Allow: allow(t, "127.0.0.1"), Limits: quick}
	for _, f := range change {
		f(&opt)
	}
	c, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func allow(t testing.TB, entries ...string) []Allow {
	t.Helper()
	var out []Allow
	for _, e := range entries {
		a, err := ParseAllow(e)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// raw serves answers that net/http would not send: f gets each connection, counted from 1, after its request was read.
func raw(t testing.TB, f func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for got := 0; !bytes.Contains(buf[:got], []byte("\r\n\r\n")); {
					m, err := c.Read(buf[got:])
					if err != nil {
						return
					}
					got += m
				}
				f(n, c)
			})
		}
	})
	return "http://" + l.Addr().String()
}

// gone waits until the other side has closed.
func gone(c net.Conn) { io.Copy(io.Discard, c) }

// cut breaks the connection off in the way of a reset.
func cut(w http.ResponseWriter) {
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func fetch(t testing.TB, c *Client, url string) ([]byte, error) {
	t.Helper()
	s, err := c.Open(t.Context(), url)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b, err := io.ReadAll(s)
	if again, n := s.Read(make([]byte, 1)); err != nil && (again != 0 || !errors.Is(n, err)) {
		t.Errorf("a Read after the error %v: %d, %v", err, again, n)
	}
	return b, err
}

func mustFetch(t testing.TB, c *Client, url string, want []byte) {
	t.Helper()
	got, err := fetch(t, c, url)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes that differ from the %d served", len(got), len(want))
	}
}

func mustRefuse(t testing.TB, err error, code string, temporary bool) *refusal.Error {
	t.Helper()
	r := refusal.As(err)
	if r == nil {
		t.Fatalf("error %v is no refusal; want %s", err, code)
	}
	if r.Code != code || r.Temporary != temporary {
		t.Fatalf("refused as %s, temporary %v, want %s, %v: %v", r.Code, r.Temporary, code, temporary, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v could be taken for the end of a file", err)
	}
	return r
}

func content(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// names is a DNS server. A name's addresses may depend on how often it was asked for, counted from 1.
type names struct {
	mu    sync.Mutex
	zone  map[string]func(n int) []string
	asked map[string]int
}

func (s *names) resolver(t testing.TB) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.asked = make(map[string]int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := s.answer(buf[:n]); err == nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *names) answer(msg []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	addrs, known := s.lookup(strings.ToLower(strings.TrimSuffix(q.Name.String(), ".")), q.Type)
	reply := dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true, RecursionAvailable: true}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	if len(addrs) == 1 && addrs[0] == "SERVFAIL" {
		addrs, reply.RCode = nil, dnsmessage.RCodeServerFailure
	}
	b := dnsmessage.NewBuilder(nil, reply)
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers()); err != nil {
		return nil, err
	}
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
	for _, text := range addrs {
		a := netip.MustParseAddr(text)
		var err error
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			err = b.AResource(head, dnsmessage.AResource{A: a.As4()})
		case !a.Is4() && q.Type == dnsmessage.TypeAAAA:
			err = b.AAAAResource(head, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func (s *names) lookup(name string, typ dnsmessage.Type) (addrs []string, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.zone[name]
	if !ok {
		return nil, false
	}
	key := fmt.Sprint(name, typ)
	s.asked[key]++
	return f(s.asked[key]), true
}

func always(addrs ...string) func(int) []string { return func(int) []string { return addrs } }

// capture is a log that a test can search.
type capture struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func (c *capture) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
