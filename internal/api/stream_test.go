package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/api"
	"ingot/internal/image"
)

// events reads a stream, event by event.
type events struct {
	t       *testing.T
	scanner *bufio.Scanner
}

func (s *service) events(t *testing.T, id string) *events {
	t.Helper()
	resp := s.get(t, "/v2/images/"+id+"/import", "Accept", "text/event-stream", "Last-Event-ID", "7")
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, ct)
	}
	return &events{t, bufio.NewScanner(resp.Body)}
}

// next returns the name and the data of the next event; "" at the end of the stream.
func (e *events) next() (name, data string) {
	e.t.Helper()
	for e.scanner.Scan() {
		line := e.scanner.Text()
		if v, ok := strings.CutPrefix(line, "event: "); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok {
			data = v
		}
		if line == "" && name != "" {
			return name, data
		}
	}
	if err := e.scanner.Err(); err != nil {
		e.t.Fatal(err)
	}
	return "", ""
}

func (e *events) want(name, data string) {
	e.t.Helper()
	gotName, gotData := e.next()
	if gotName != name || !strings.Contains(gotData, data) {
		e.t.Fatalf("event %q: %s, want %q with %s", gotName, gotData, name, data)
	}
}

func TestEventsOfAnImport(t *testing.T) {
	s := newService(t, nil)
	s.create(t, "alice", 1)
	e := s.events(t, "1")
	e.want("progress", `"phase":"queued"`)
	s.direct(t, "claim 1")
	e.want("progress", `"phase":"connecting"`)
	s.direct(t, "report 1 10")
	e.want("progress", `"bytes_read":10,`)
	s.direct(t, "publish 1 1000 100")
	e.want("done", `"phase":"done"`)
	e.want("", "")
}

func TestEventsEndWithTheImage(t *testing.T) {
	s := newService(t, nil)
	s.create(t, "alice", 1)
	e := s.events(t, "1")
	e.want("progress", `"phase":"queued"`)
	if err := s.catalog.DeleteImage(t.Context(), s.accounts["alice"], 1); err != nil {
		t.Fatal(err)
	}
	e.want("deleted", "{}")
	e.want("", "")
}

func TestEventsEndWithTheService(t *testing.T) {
	s := newService(t, nil)
	s.create(t, "alice", 1)
	e := s.events(t, "1")
	e.want("progress", `"phase":"queued"`)
	s.api.Drain()
	e.want("", "")
}

// brokenFiles opens files that cannot be read from an offset on.
type brokenFiles struct{ good int64 }

var errStore = errors.New("pack 17 is damaged")

func (f brokenFiles) Open(context.Context, image.Content, string) (api.File, error) { return f, nil }

func (f brokenFiles) Size() int64 { return 10_000_000 }

func (f brokenFiles) WriteRange(_ context.Context, w io.Writer, _, _ int64) error {
	for range f.good / 1000 {
		if _, err := w.Write(make([]byte, 1000)); err != nil {
			return err
		}
	}
	return errStore
}

func brokenService(t *testing.T, good int64) (*service, *buffer) {
	t.Helper()
	log := &buffer{}
	s := newService(t, func(cfg *api.Config) {
		cfg.Files, cfg.Log = brokenFiles{good}, slog.New(slog.NewTextHandler(log, nil))
	})
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 10000000 1000")
	return s, log
}

// A file that cannot be read at all is an answer like any other.
func TestFileErrorBeforeTheFirstByte(t *testing.T) {
	s, log := brokenService(t, 0)
	resp := s.get(t, "/v2/images/1/file")
	s.wantProblem(t, resp, 500, "server_error", "Unexpected server-side error.")
	for _, name := range []string{"ETag", "Accept-Ranges", "Content-Disposition", "Content-Range"} {
		if v := resp.Header.Get(name); v != "" {
			t.Errorf("header %s: %s on an error", name, v)
		}
	}
	wantLogged(t, log, errStore.Error(), resp.Header.Get("X-Request-Id"))
}

// A file that breaks on the way ends in a cut, never in bytes that are not its own.
func TestFileErrorOnTheWay(t *testing.T) {
	s, log := brokenService(t, 500_000)
	resp := s.get(t, "/v2/images/1/file")
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || err == nil || int64(len(body)) > 500_000 {
		t.Errorf("status %d, %d bytes, error %v; want a cut after at most 500000", resp.StatusCode, len(body), err)
	}
	wantLogged(t, log, errStore.Error(), resp.Header.Get("X-Request-Id"))
}

// wantLogged waits for the log: the client may hear of an end before the handler has written its line.
func wantLogged(t *testing.T, log *buffer, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		missing := false
		for _, w := range words {
			missing = missing || !strings.Contains(log.String(), w)
		}
		if !missing {
			return
		}
	}
	t.Errorf("the log does not hold all of %q:\n%s", words, log)
}

// A client that goes in the middle is no fault of the service.
func TestFileClientGoes(t *testing.T) {
	log := &buffer{}
	s := newService(t, func(cfg *api.Config) {
		cfg.Files, cfg.Log = endless{}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 10000000 1000")
	resp := s.get(t, "/v2/images/1/file")
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	wantLogged(t, log, "the client is gone", "aborted=true")
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("an error was logged:\n%s", log)
	}
}

// endless is a file that nobody reads to its end.
type endless struct{}

func (endless) Open(context.Context, image.Content, string) (api.File, error) { return endless{}, nil }

func (endless) Size() int64 { return 1 << 50 }

func (endless) WriteRange(ctx context.Context, w io.Writer, _, n int64) error {
	block := make([]byte, 64<<10)
	for ; n > 0; n -= int64(len(block)) {
		if _, err := w.Write(block); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// The limits of a connection are for small answers: a file may take longer than they say.
func TestFileOutlastsTheServersTimes(t *testing.T) {
	s := newService(t, func(cfg *api.Config) { cfg.Files = slow{} })
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 10000000 1000")
	s.serve(t, func(h *http.Server) { h.ReadTimeout, h.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond })
	resp := s.get(t, "/v2/images/1/file")
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) != 8 || resp.StatusCode != http.StatusOK {
		t.Errorf("%d: %d bytes, %v", resp.StatusCode, len(body), err)
	}
}

// slow is a file of 8 bytes that takes most of a second.
type slow struct{}

func (slow) Open(context.Context, image.Content, string) (api.File, error) { return slow{}, nil }

func (slow) Size() int64 { return 8 }

func (slow) WriteRange(ctx context.Context, w io.Writer, _, n int64) error {
	for range n {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := w.Write([]byte{1}); err != nil {
			return err
		}
	}
	return nil
}
