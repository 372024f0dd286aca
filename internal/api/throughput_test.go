package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ingot/internal/catalog/pgtest"
)

// BenchmarkRequests compares the two requests that clients send most with a bare handler that writes the same bytes.
// The client is as small as can be, so that what is compared is the service, counted as `ingot serve` counts it. Images are
// asked for in turn; lists are the same one.
func BenchmarkRequests(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchmarkRequests(b, newService(b, nil)) })
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkRequests(b, newServiceOn(b, pgtest.Start(b).Database(b), nil)) })
}

func benchmarkRequests(b *testing.B, s *service) {
	s.create(b, "alice", 99)
	s.serve(b, func(srv *http.Server) { srv.Handler = measured(srv.Handler) })
	for _, path := range []string{"/v2/images/%d", "/v2/images"} {
		body := asked(b, s.server.Listener.Addr(), path, s.tokens["alice"])
		bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
		}))
		name := strings.TrimSuffix(path, "/%d")
		if name != path {
			name += "/ID"
		}
		b.Run("bare"+name, func(b *testing.B) { ask(b, bare.Listener.Addr(), path, "x") })
		b.Run("ingot"+name, func(b *testing.B) { ask(b, s.server.Listener.Addr(), path, s.tokens["alice"]) })
		bare.Close()
	}
}

// measured counts requests as cmd/ingot's metrics do.
func measured(next http.Handler) http.Handler {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests"}, []string{"code", "method"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "seconds"}, []string{"method"})
	return promhttp.InstrumentHandlerCounter(requests, promhttp.InstrumentHandlerDuration(seconds, next))
}

// asked returns the body that a path answers.
func asked(b *testing.B, addr net.Addr, path, token string) []byte {
	b.Helper()
	c := dial(b, addr, path, token)
	defer c.Close()
	body, err := c.ask()
	if err != nil {
		b.Fatal(err)
	}
	return bytes.Clone(body)
}

func ask(b *testing.B, addr net.Addr, path, token string) {
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		c := dial(b, addr, path, token)
		defer c.Close()
		for pb.Next() {
			if _, err := c.ask(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// conn sends requests in turn, again and again.
type conn struct {
	net.Conn
	requests [][]byte
	next     int
	r        *bufio.Reader
	body     []byte
}

func dial(b *testing.B, addr net.Addr, path, token string) *conn {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		b.Fatal(err)
	}
	requests := make([][]byte, 90) // of two digits: all answers have one length
	for i := range requests {
		target := strings.ReplaceAll(path, "%d", strconv.Itoa(10+i))
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAuthorization: Bearer %s\r\n\r\n", target, addr, token)
	}
	return &conn{Conn: c, requests: requests, r: bufio.NewReaderSize(c, 32<<10)}
}

func (c *conn) ask() ([]byte, error) {
	request := c.requests[c.next%len(c.requests)]
	c.next++
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, err := c.r.ReadString('\n')
	if err != nil || !strings.Contains(status, " 200 ") {
		return nil, fmt.Errorf("%q: %w", status, err)
	}
	length := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		}
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	_, err = io.ReadFull(c.r, c.body[:length])
	return c.body[:length], err
}
