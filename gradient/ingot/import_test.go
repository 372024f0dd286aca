package ingot_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/gradient"
	"ingot/gradient/ingot"
	"ingot/gradient/internal/gradienttest"
	"ingot/gradient/option"
)

func TestImport(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	id := s.create(t)
	p, err := s.client.Imports.Get(t.Context(), id)
	if err != nil || p.ImageID != id || p.Phase != ingot.ImportPhaseQueued || p.BytesExpected != 0 || !p.StartedAt.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err = s.client.Imports.Get(t.Context(), id)
	if err != nil || p.Phase != ingot.ImportPhaseDone || p.BytesRead != 1000 || p.BytesPerSecond != 250 || p.SecondsPerPhase["fetching"] != 4 ||
		len(p.ContentDigest) != 64 || p.FinishedAt.IsZero() || p.Error != nil {
		t.Errorf("%+v, %v", p, err)
	}
	var e *gradient.Error
	if _, err := s.client.Imports.Get(t.Context(), id+1); !errors.As(err, &e) || e.StatusCode != 404 {
		t.Error(err)
	}
	if _, err := s.client.Imports.Get(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "image_id") {
		t.Error(err)
	}
}

func TestImportStreaming(t *testing.T) {
	t.Parallel()
	s := newReal(t, option.WithRequestTimeout(time.Millisecond*300)) // which is not for streams
	id := s.create(t)
	stream := s.client.Imports.GetStreaming(t.Context(), id)
	if !stream.Next() || stream.Current().Phase != ingot.ImportPhaseQueued {
		t.Fatalf("%+v, %v", stream.Current(), stream.Err())
	}
	time.AfterFunc(500*time.Millisecond, func() {
		if err := s.Finish(context.Background()); err != nil {
			t.Error(err)
		}
	})
	var last ingot.Import
	for stream.Next() {
		last = stream.Current()
	}
	if stream.Err() != nil || last.Phase != ingot.ImportPhaseDone || last.ImageID != id {
		t.Errorf("%+v, %v", last, stream.Err())
	}
	if err := stream.Close(); err != nil || stream.Next() {
		t.Error("it goes on after its end", err)
	}
}

func TestWaitForAFailure(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	id := s.create(t)
	var seen []ingot.ImportPhase
	report, err := s.client.Imports.Wait(t.Context(), id, func(p *ingot.Import) {
		seen = append(seen, p.Phase)
		if len(seen) == 1 {
			if err := s.Fail(t.Context(), "qcow2_backing_file", "It needs another file."); err != nil {
				t.Error(err)
			}
		}
	})
	var failed *ingot.ImportError
	if !errors.As(err, &failed) || failed.Code != "qcow2_backing_file" || failed.Error() != "It needs another file." || report.Phase != ingot.ImportPhaseFailed {
		t.Errorf("%+v, %v", report, err)
	}
	if diff := cmp.Diff([]ingot.ImportPhase{"queued", "failed"}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestWaitForADeletedImage(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	id := s.create(t)
	_, err := s.client.Imports.Wait(t.Context(), id, func(*ingot.Import) {
		if err := s.images.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, ingot.ErrImageDeleted) {
		t.Error(err)
	}
}

// events answers with a stream, and cuts it.
func events(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

const (
	half = "retry: 2000\n\n: a comment\n\nevent: progress\ndata: {\"image_id\":7,\"bytes_read\":10}\n\n"
	full = "event: progress\ndata: {\"image_id\":7,\ndata: \"bytes_read\":20}\n\nevent:done\ndata:{\"image_id\":7,\"phase\":\"done\",\"bytes_read\":30}\n\n"
)

// TestStreamConnectsAgain: breaks of every kind, between and within events.
func TestStreamConnectsAgain(t *testing.T) {
	t.Parallel()
	f, client := newFaulty(t, events(half+"event: progress\ndata: {\"image_id\":7,"), gradienttest.Answer(503, `{}`, "Retry-After-Ms", "1"), gradienttest.HangUp, events(full))
	var read []int64
	report, err := client.Imports.Wait(t.Context(), 7, func(p *ingot.Import) { read = append(read, p.BytesRead) })
	if err != nil || report.Phase != ingot.ImportPhaseDone {
		t.Fatalf("%+v, %v", report, err)
	}
	if diff := cmp.Diff([]int64{10, 20, 30}, read); diff != "" {
		t.Error(diff)
	}
	for _, r := range f.Requests() {
		if r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("asked for %s", r.Header.Get("Accept"))
		}
	}
}

func TestStreamsThatEndInAnError(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"not found": {gradienttest.Answer(404, `{"id":"not_found","message":"nothing here"}`), "nothing here"},
		"no events": {gradienttest.Answer(200, `{"import":{}}`), "no events"},
		"not JSON":  {events("event: progress\ndata: {\n\n"), "an event of the import"},
	} {
		t.Run(name, func(t *testing.T) {
			_, client := newFaulty(t, test.answer)
			if _, err := client.Imports.Wait(t.Context(), 7, nil); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Error(err)
			}
		})
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.client.Imports.Wait(ctx, s.create(t), func(*ingot.Import) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestStreamOfAServiceThatEnds: the service shuts down, and the stream with it; what comes next is the client's to
// find out.
func TestStreamOfAServiceThatEnds(t *testing.T) {
	t.Parallel()
	s := newReal(t)
	id := s.create(t)
	calls := 0
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.client.Imports.Wait(ctx, id, func(*ingot.Import) {
		if calls++; calls == 1 {
			s.Drain()
		} else {
			cancel()
		}
	})
	if calls != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d calls, %v", calls, err)
	}
}
