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
)

// BenchmarkRequests compares the two requests that clients send most with a bare handler that writes the same bytes.
// The client is as small as can be, so that what is compared is the service.
func BenchmarkRequests(b *testing.B) {
	s := newService(b, nil)
	s.create(b, "alice", 100)
	for _, path := range []string{"/v2/images/50", "/v2/images"} {
		body := asked(b, s.server.Listener.Addr(), path, s.tokens["alice"])
		bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
		}))
		b.Run("bare"+path, func(b *testing.B) { ask(b, bare.Listener.Addr(), path, "x") })
		b.Run("ingot"+path, func(b *testing.B) { ask(b, s.server.Listener.Addr(), path, s.tokens["alice"]) })
		bare.Close()
	}
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

// conn sends one request again and again.
type conn struct {
	net.Conn
	request []byte
	r       *bufio.Reader
	body    []byte
}

func dial(b *testing.B, addr net.Addr, path, token string) *conn {
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		b.Fatal(err)
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAuthorization: Bearer %s\r\n\r\n", path, addr, token)
	return &conn{Conn: c, request: request, r: bufio.NewReaderSize(c, 32<<10)}
}

func (c *conn) ask() ([]byte, error) {
	if _, err := c.Write(c.request); err != nil {
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
