package api

import (
	"bytes"
	"net/http"
	"time"

	"ingot/internal/image"
)

// Timing of a stream of events.
const (
	eventInterval    = 400 * time.Millisecond // between two looks at the import
	keepAlive        = 15 * time.Second       // of silence before a comment is sent, so that no proxy cuts the stream
	eventWriteLimit  = 30 * time.Second       // for one event to be taken by the client's side
	reconnectHint    = "retry: 2000\n\n"      // milliseconds
	keepAliveComment = ": still here\n\n"
)

// stream writes server-sent events, and remembers the last to send none twice.
type stream struct {
	c         *call
	control   *http.ResponseController
	last      []byte
	lastWrite time.Time
}

// streamImport sends the progress of an import whenever it changed, until the import ends, the image is deleted, the
// client goes or the service drains. A client that comes again gets the state of that moment: there is nothing to
// repeat, so Last-Event-ID is not looked at.
func (a *API) streamImport(c *call, id int64, p image.Progress) error {
	s := &stream{c: c, control: http.NewResponseController(c)}
	_ = s.control.SetReadDeadline(time.Time{}) // it would end the request's context; a writer without deadlines is a test's
	c.Header().Set("Content-Type", "text/event-stream")
	c.Header().Set("X-Accel-Buffering", "no") // nginx would hold the events back
	c.WriteHeader(http.StatusOK)
	if err := s.write([]byte(reconnectHint)); err != nil {
		return nil
	}
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	for {
		end, err := s.progress(id, &p)
		if end || err != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.ctx().Done():
			return nil
		case <-a.draining.Done():
			return nil
		}
		p, err = a.catalog.ImportProgress(c.ctx(), c.token.AccountID, id)
		if image.KindOf(err) == image.NotFound {
			_ = s.event("deleted", []byte(`{}`)) // the stream ends here either way
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// progress sends one state; end says that no other will follow.
func (s *stream) progress(id int64, p *image.Progress) (end bool, err error) {
	data := appendProgress(nil, id, p)
	switch p.Phase {
	case image.PhaseDone, image.PhaseFailed:
		return true, s.event(string(p.Phase), data)
	}
	if bytes.Equal(data, s.last) {
		return false, s.keepAlive()
	}
	s.last = data
	return false, s.event("progress", data)
}

func (s *stream) keepAlive() error {
	if time.Since(s.lastWrite) < keepAlive {
		return nil
	}
	return s.write([]byte(keepAliveComment))
}

func (s *stream) event(name string, data []byte) error {
	b := append([]byte("event: "), name...)
	b = append(append(b, "\ndata: "...), data...)
	return s.write(append(b, "\n\n"...))
}

func (s *stream) write(b []byte) error {
	s.lastWrite = time.Now()
	_ = s.control.SetWriteDeadline(s.lastWrite.Add(eventWriteLimit)) // as above
	if _, err := s.c.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}
