package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowly gives a byte after each pause; after stop bytes it waits for the request's end.
type slowly struct {
	pause time.Duration
	stop  int
	done  <-chan struct{}
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.stop--; s.stop < 0 {
		<-s.done
		return 0, errors.New("closed")
	}
	time.Sleep(s.pause)
	return copy(p, "x"), nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func request(t *testing.T, body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://h/", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func wantStall(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "nothing moved for 30s") {
		t.Errorf("%v", err)
	}
}

// An answer may take longer than the limit as long as it moves.
func TestAnswersStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &stallGuard{limit: 30 * time.Second, next: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{Body: io.NopCloser(&slowly{20 * time.Second, 10, r.Context().Done()})}, nil
		})}
		resp, err := g.RoundTrip(request(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		b, err := io.ReadAll(resp.Body)
		wantStall(t, err)
		if took := time.Since(begin); len(b) != 10 || took != 230*time.Second {
			t.Errorf("%d bytes, ended after %v", len(b), took)
		}
		resp.Body.Close()
	})
}

// A request whose body is not taken, or that is not answered, ends.
func TestRequestsStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reads := range []int{0, 5} {
			g := &stallGuard{limit: 30 * time.Second, next: roundTrip(func(r *http.Request) (*http.Response, error) {
				for range reads {
					time.Sleep(20 * time.Second)
					r.Body.Read(make([]byte, 1))
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}
			_, err := g.RoundTrip(request(t, bytes.NewReader(make([]byte, 100))))
			wantStall(t, err)
		}
	})
}
