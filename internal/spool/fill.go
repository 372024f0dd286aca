package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"syscall"

	"ingot/internal/refusal"
)

// step is how much is read at once, in bytes: it stays in the processor's cache until somebody reads it.
const step = 256 << 10

// fill reads the stream to its end. A stream decodes what strangers send: a panic in its Read or WriteTo ends its own spool,
// not the service. What it does in goroutines of its own it must guard itself.
func (s *Spool) fill(r io.Reader) {
	defer close(s.stopped)
	defer func() {
		if p := recover(); p != nil {
			s.finish(fmt.Errorf("spool: the stream panicked: %v\n%s", p, debug.Stack()))
		}
	}()
	err := s.copy(r)
	if err == nil {
		s.finish(io.EOF)
		return
	}
	s.finish(&streamError{err})
}

func (s *Spool) copy(r io.Reader) error {
	if w, ok := r.(io.WriterTo); ok {
		f := &filler{spool: s}
		_, err := w.WriteTo(f)
		return cmp.Or(f.err, err) // the file's error, whatever the stream makes of it
	}
	for {
		buf, err := s.next()
		if err != nil {
			return err
		}
		n, err := r.Read(buf)
		s.publish(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// filler is the io.Writer that a stream writes itself to.
type filler struct {
	spool *Spool
	err   error
}

func (f *filler) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		var buf []byte
		if buf, f.err = f.spool.next(); f.err != nil {
			return done, f.err
		}
		n := copy(buf, p[done:])
		f.spool.publish(int64(n))
		done += n
	}
	return len(p), nil
}

// next waits until more may come, and returns where it goes.
func (s *Spool) next() ([]byte, error) {
	s.pause()
	select {
	case <-s.done: // Close, which even a stream that nobody reads must notice
		return nil, s.end
	default:
	}
	at := s.arrived.Load()
	if at == s.filled {
		if err := s.grow(); err != nil {
			return nil, err
		}
	}
	from := at % extent
	return s.body[from:min(extent, from+step)], nil
}

// grow makes a piece for the next extent.
func (s *Spool) grow() error {
	for {
		body, oldest := s.memory.add(s.filled / extent)
		if body != nil {
			s.body = body
			s.filled += extent
			return nil
		}
		if err := s.spill(oldest); err != nil {
			return err
		}
	}
}

// publish makes n more bytes readable and wakes the readers once the first of them has what it waits for.
func (s *Spool) publish(n int64) {
	if have := s.arrived.Add(n); have >= s.wake.Load() {
		s.mu.Lock()
		s.wake.Store(math.MaxInt64)
		s.came.Broadcast()
		s.mu.Unlock()
	}
}

// pause waits while the stream is MaxAhead before its readers. It raises paused before it looks at frontier; ask moves
// frontier before it looks at paused.
func (s *Spool) pause() {
	ahead := func() bool {
		return s.opt.MaxAhead > 0 && s.arrived.Load()-s.frontier.Load() > s.opt.MaxAhead
	}
	if !ahead() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused.Store(true)
	defer s.paused.Store(false)
	for ahead() && s.end == nil {
		s.room.Wait()
	}
}

// finish ends the spool, once, and wakes everybody.
func (s *Spool) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return
	}
	s.end = err
	close(s.done)
	s.came.Broadcast()
	s.room.Broadcast()
}

// noSpace words a full disk for the client; any other error is passed on.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return refusal.Passing(err, "no_space", "The image service's disk is full, so the image could not be imported. Tell its operator, and try again later.")
	}
	return fmt.Errorf("spool: %w", err)
}

// streamError is the error that a stream failed with. It can be asked for a refusal and for anything else but the end
// of a file: a format that reads a broken stream must not take it for a short image.
type streamError struct{ err error }

func (e *streamError) Error() string { return "spool: " + e.err.Error() }

func (e *streamError) As(target any) bool { return errors.As(e.err, target) }

func (e *streamError) Is(target error) bool {
	return target != io.EOF && target != io.ErrUnexpectedEOF && errors.Is(e.err, target)
}

// createNamed makes a file and removes its name; a process that dies between the two leaves an empty file.
func createNamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
