package importer_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/source"
)

// slowest are limits under which a source is too slow within a test's time.
var slowest = source.Limits{MinRate: 1000, RateWindow: 2 * time.Second, Resumes: 2}

// transportCases are servers that misbehave, and what an import from them ends as.
func transportCases() []hostile {
	from := func(name, code string, serve http.HandlerFunc) hostile {
		return hostile{name: name, code: code, guest: rawGuest, serve: serve}
	}
	later := func(c hostile) hostile { c.passing = true; return c }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	summed := from("wrong checksum", "source_checksum", whole(rawGuest))
	summed.fragment = "#sha256=" + strings.Repeat("00", 32)
	return []hostile{
		from("sound", "", whole(rawGuest)),
		from("404", "source_not_found", status(http.StatusNotFound)),
		from("403", "source_forbidden", status(http.StatusForbidden)),
		from("401", "source_unauthorized", status(http.StatusUnauthorized)),
		from("410", "source_gone", status(http.StatusGone)),
		later(from("500", "source_failed", status(http.StatusInternalServerError))),
		from("broken off, and resumed", "", half(rawGuest, func(w http.ResponseWriter, from int) {
			part(w, from, len(rawGuest)-1, len(rawGuest))
			w.Write(rawGuest[from:])
		})),
		later(from("broken off, without ranges", "source_no_resume", half(rawGuest, func(w http.ResponseWriter, _ int) { w.Write(rawGuest) }))),
		from("shorter than announced", "source_changed", half(rawGuest, func(w http.ResponseWriter, _ int) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		})),
		from("changed under a resume", "source_changed", half(rawGuest, func(w http.ResponseWriter, from int) {
			w.Header().Set("ETag", `"2"`)
			part(w, from, len(rawGuest)-1, len(rawGuest))
			w.Write(rawGuest[from:])
		})),
		later(from("wrong range", "source_range", half(rawGuest, func(w http.ResponseWriter, _ int) {
			part(w, 0, len(rawGuest)-1, len(rawGuest))
			w.Write(rawGuest)
		}))),
		from("redirect to a private address", "source_not_allowed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}),
		from("redirect to a file", "source_redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}),
		later(from("a few bytes a second", "source_too_slow", trickle)),
		summed,
		from("brotli on top", "source_encoding", encoded("br", rawGuest)),
		from("gzip said of a gzip file", "", encoded("gzip", gzipped(rawGuest))),
		from("gzip on top of a gzip file", "compression_nested", encoded("gzip", gzipped(gzipped(rawGuest)))),
	}
}

func whole(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// half breaks off in the middle, and has rest answer who wants to go on from there.
func half(b []byte, rest func(w http.ResponseWriter, from int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		var from int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
			rest(w, from)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b[:len(b)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// part heads an answer that has the bytes from first to last.
func part(w http.ResponseWriter, first, last, total int) {
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, total))
	w.WriteHeader(http.StatusPartialContent)
}

func trickle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(len(rawGuest)))
	for i := 0; i < len(rawGuest) && r.Context().Err() == nil; i++ {
		w.Write(rawGuest[i : i+1])
		http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond)
	}
}

func encoded(how string, b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", how)
		whole(b)(w, r)
	}
}

// importFromHostile imports from every such server, and returns what TestHostileImages compares.
func importFromHostile(t *testing.T) map[[2]string]bool {
	t.Helper()
	b := newBench(t, options{maxAttempts: attempts, limits: slowest})
	said := b.importAll(t, "transport", transportCases())
	b.wantNothing()
	return said
}
