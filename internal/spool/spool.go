// Package spool gives random access to a stream while it arrives: the latest bytes in memory, a nameless scratch file for
// older ones that are still needed, readers that wait for what is not there yet, holes for zeros, and space that is
// given back when bytes are no longer needed.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
)

// Options adjust a Spool; the zero value will do.
type Options struct {
	// MaxAhead is how far, in bytes, the stream may run ahead of the furthest byte that was asked for, by ReadAt or by
	// Wait; then it is not read for a while. Zero: no bound. A reader that waits always lets the stream go on, so
	// whatever the order of reads, nothing can block for ever.
	MaxAhead int64

	// Memory is how many of the latest bytes are kept in memory, 2 MiB at the least. What is released while it is there
	// is never written to the file; so a file that is read in order behind its arrival, no more than MaxAhead, costs none.
	Memory int64

	// Interrupt makes a Read of the stream that is under way return. Close calls it and then waits for the stream's
	// last Read, after which the stream may be closed. Without it, Close does not wait, and a Read that is under way
	// may return after it.
	Interrupt func()
}

// Spool is a stream as a file. Its methods may be called by several goroutines at once.
type Spool struct {
	file *os.File
	opt  Options

	arrived  atomic.Int64 // bytes that can be read
	frontier atomic.Int64 // end of the furthest range asked for
	wake     atomic.Int64 // readers sleep until this many bytes have arrived
	paused   atomic.Bool  // the stream waits for frontier

	mu   sync.Mutex
	came sync.Cond // bytes arrived that a reader sleeps for, or the end
	room sync.Cond // frontier moved, or the end
	end  error     // nil: the stream goes on; io.EOF: it ended well

	memory memory
	filled int64         // end of the piece that is being filled; the stream's goroutine has it and body
	body   *[extent]byte // the piece

	done    chan struct{} // closed with end
	stopped chan struct{} // closed when the stream is no longer read
	given   ledger
	keeps   atomic.Bool // the file system cannot give space back
	useless atomic.Bool // Discard was called
}

// New begins to read r, in a goroutine of its own, into a nameless file in dir. If r is an io.WriterTo, that is used.
func New(dir string, r io.Reader, opt Options) (*Spool, error) {
	file, err := create(dir)
	if err != nil {
		return nil, noSpace(err)
	}
	s := &Spool{file: file, opt: opt, done: make(chan struct{}), stopped: make(chan struct{}), memory: newMemory(opt.Memory)}
	s.came.L, s.room.L = &s.mu, &s.mu
	s.wake.Store(math.MaxInt64)
	go s.fill(r)
	return s, nil
}

// ReadAt waits until the bytes have arrived. Past the stream's end it returns what there is and io.EOF; where the
// stream failed, what came before and the stream's error, which is then never taken for io.EOF or
// io.ErrUnexpectedEOF. Bytes that were released are an error.
func (s *Spool) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("spool: read before the start")
	}
	if len(p) == 0 {
		return 0, nil
	}
	want := int64(math.MaxInt64)
	if off <= want-int64(len(p)) {
		want = off + int64(len(p))
	}
	have, end := s.await(want)
	if errors.Is(end, os.ErrClosed) {
		return 0, end
	}
	n := min(int64(len(p)), max(have-off, 0))
	if err := s.read(p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), end
	}
	return int(n), nil
}

// read reads bytes that have arrived.
func (s *Spool) read(p []byte, off int64) error {
	if s.useless.Load() || s.given.released(off, off+int64(len(p))) {
		return fmt.Errorf("spool: %d bytes at %d were released and are read again", len(p), off)
	}
	for len(p) > 0 {
		n := min(int64(len(p)), extent-off%extent)
		if !s.memory.read(p[:n], off) {
			if err := s.readFile(p[:n], off); err != nil {
				return err
			}
		}
		p, off = p[n:], off+n
	}
	return nil
}

// readFile reads what has left the memory. The file ends at its last block that is not zero; what is beyond is a hole.
func (s *Spool) readFile(p []byte, off int64) error {
	n, err := s.file.ReadAt(p, off)
	if err == io.EOF {
		clear(p[n:])
		return nil
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// await returns when want bytes have arrived or the stream has ended, and how it ended.
//
// A sleeper lowers wake before it looks at arrived, and publish raises arrived before it looks at wake: one of them
// sees the other.
func (s *Spool) await(want int64) (have int64, end error) {
	s.ask(want)
	if have = s.arrived.Load(); have >= want {
		return have, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.wake.Store(min(s.wake.Load(), want))
		if have = s.arrived.Load(); have >= want || s.end != nil {
			return have, s.end
		}
		s.came.Wait()
	}
}

// ask notes that somebody wants the bytes up to want, so that the stream may go on to there.
func (s *Spool) ask(want int64) {
	for {
		old := s.frontier.Load()
		if want <= old {
			return
		}
		if s.frontier.CompareAndSwap(old, want) {
			break
		}
	}
	if s.paused.Load() {
		s.mu.Lock()
		s.room.Signal()
		s.mu.Unlock()
	}
}

// Arrived is the number of bytes that have arrived.
func (s *Spool) Arrived() int64 { return s.arrived.Load() }

// Size is the number of bytes that have arrived, and whether they are the whole stream.
func (s *Spool) Size() (n int64, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived.Load(), s.end == io.EOF
}

// Discard says that nothing is read again: what there is goes back to the disk, and what is still to come never gets there.
// The stream is read on, so that Wait can tell how it ends.
func (s *Spool) Discard() {
	s.useless.Store(true)
	s.file.Truncate(0) // an error only means that the disk keeps it until Close
}

// Wait waits for the stream's end and returns its size, or the error that it ended with.
func (s *Spool) Wait(ctx context.Context) (int64, error) {
	s.ask(math.MaxInt64)
	select {
	case <-s.done:
	case <-ctx.Done():
		return s.arrived.Load(), context.Cause(ctx)
	}
	if s.end != io.EOF {
		return s.arrived.Load(), s.end
	}
	return s.arrived.Load(), nil
}

// Close ends the reading of the stream and all waits for it, and frees the file.
func (s *Spool) Close() error {
	s.finish(fmt.Errorf("spool: %w", os.ErrClosed))
	if s.opt.Interrupt != nil {
		s.opt.Interrupt()
		<-s.stopped
	}
	s.memory.clear(s.opt.Interrupt != nil)
	if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}
