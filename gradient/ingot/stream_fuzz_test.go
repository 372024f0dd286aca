package ingot_test

import (
	"net/http"
	"testing"
	"testing/synctest"
)

// FuzzStream: whatever a service sends, following an import ends, in a report or in an error.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{half, full, half + full, "event: deleted\ndata: {}\n\n", "data:\n\n", "event: failed\ndata: {\"phase\":\"failed\"}\r\n\r\n", ":\n\nevent\ndata\n\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream string) {
		synctest.Test(t, func(t *testing.T) { follow(t, stream) })
	})
}

func follow(t *testing.T, stream string) {
	client := offline(func(n int, r *http.Request) *http.Response {
		if n > 1 {
			return response(r, 404, http.NoBody)
		}
		return response(r, 200, text(stream), "Content-Type", "text/event-stream")
	})
	s, events := client.Imports.GetStreaming(t.Context(), 7), 0
	for s.Next() {
		events++
	}
	if s.Err() == nil && s.Current().Phase == "" && events == 0 {
		t.Error("it ended without an event and without an error")
	}
	if err := s.Close(); err != nil || s.Next() {
		t.Errorf("it goes on after its end: %v", err)
	}
}
