package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"syscall"

	"ingot/internal/refusal"
)

const (
	bufferSize = 256 << 10 // stays in the cache between the stream's Read and the write to the file
	page       = 16 << 10  // zeros of this size, at its multiples, become holes
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// fill reads the stream to its end. A stream decodes what strangers send: its panic ends its own spool, not the service.
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
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if err := s.write(buf[:n]); err != nil {
			return err
		}
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
		n := min(bufferSize, len(p)-done)
		if f.err = f.spool.write(p[done : done+n]); f.err != nil {
			return done, f.err
		}
		done += n
	}
	return len(p), nil
}

// write puts the stream's next bytes into the file and lets the readers know.
func (s *Spool) write(p []byte) error {
	s.pause()
	select {
	case <-s.done: // Close, which even a stream of nothing but zeros must notice
		return s.end
	default:
	}
	off, n := s.arrived.Load(), len(p)
	for len(p) > 0 {
		run, zero := firstRun(p, off)
		if !zero {
			if _, err := s.file.WriteAt(p[:run], off); err != nil {
				return noSpace(err)
			}
		}
		off += int64(run)
		p = p[run:]
	}
	s.publish(int64(n))
	return nil
}

// firstRun returns how many bytes at the start of p are zero pages, or are none. The first and the last page may be
// cut by p's ends.
func firstRun(p []byte, off int64) (n int, zero bool) {
	for n < len(p) {
		end := min(len(p), n+page-int((off+int64(n))%page))
		switch z := isZero(p[n:end]); {
		case n == 0:
			zero = z
		case z != zero:
			return n, zero
		}
		n = end
	}
	return n, zero
}

func isZero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[:len(p)-1], p[1:]) }

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
