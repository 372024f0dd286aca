package ingot

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
)

// maxEvent bounds a line of a stream, in bytes.
const maxEvent = 1 << 20

// ImportStream is the progress of an import, event by event. When the connection breaks, or the service shuts down,
// it connects again: each event says everything.
//
//	for stream.Next() {
//		progress := stream.Current()
//	}
//	err := stream.Err()
type ImportStream struct {
	ctx      context.Context
	imageID  int64
	opts     []option.RequestOption
	cur      Import
	err      error
	ended    bool
	body     io.ReadCloser // nil: not connected
	lines    *bufio.Scanner
	watch    *watch
	patience patience
}

// Next waits for the next event. The last one is of an import that is done or has failed; then, and at an error, it
// returns false.
func (s *ImportStream) Next() bool {
	for !s.ended {
		name, data, err := s.event()
		if err != nil {
			s.disconnect()
			if err := s.patience.again(s.ctx, err); err != nil {
				return s.end(err)
			}
			continue
		}
		s.patience.progress()
		switch name {
		case "progress", "done", "failed":
			s.cur = Import{}
			if err := json.Unmarshal([]byte(data), &s.cur); err != nil {
				return s.end(fmt.Errorf("an event of the import: %w", err))
			}
			if name != "progress" {
				s.end(nil)
			}
			return true
		case "deleted":
			return s.end(ErrImageDeleted)
		}
	}
	return false
}

// Current returns the progress as of the last event.
func (s *ImportStream) Current() Import { return s.cur }

// Err returns what ended the stream before the import.
func (s *ImportStream) Err() error { return s.err }

// Close ends the stream.
func (s *ImportStream) Close() error {
	s.end(s.err)
	return nil
}

func (s *ImportStream) end(err error) bool {
	s.disconnect()
	s.ended, s.err = true, err
	return false
}

func (s *ImportStream) disconnect() {
	if s.body != nil {
		s.watch.stop()
		s.body.Close()
		s.body = nil
	}
}

func (s *ImportStream) connect() error {
	path, err := importPath(s.imageID)
	if err != nil {
		s.patience.failures = maxFailures // it would be the same again
		return err
	}
	w := newWatch(s.ctx)
	c, err := requestconfig.New(w.ctx, http.MethodGet, path, nil, nil, s.opts...)
	if err != nil {
		w.stop()
		s.patience.failures = maxFailures
		return err
	}
	c.RequestTimeout = 0
	c.Header.Set("Accept", "text/event-stream")
	res, err := c.Send()
	if err != nil {
		w.stop()
		return err
	}
	s.watch, s.body, s.lines = w, res.Body, bufio.NewScanner(res.Body)
	s.lines.Buffer(nil, maxEvent)
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "text/event-stream" {
		s.patience.failures = maxFailures
		return fmt.Errorf("the service sends no events but %q", kind)
	}
	return nil
}

// event reads one event, by the rules of the HTML standard (section 9.2.6) as far as they are used: names and data.
func (s *ImportStream) event() (name, data string, err error) {
	if s.body == nil {
		if err := s.connect(); err != nil {
			return "", "", err
		}
	}
	for s.lines.Scan() {
		s.watch.heard()
		key, value, _ := strings.Cut(s.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case s.lines.Text() == "" && name+data != "":
			return name, data, nil
		case key == "event":
			name = value
		case key == "data":
			data += value
		}
	}
	if err := s.lines.Err(); err != nil {
		return "", "", s.watch.explain(err)
	}
	return "", "", errors.New("the service ended the stream before the import had ended")
}
