package raw

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"ingot/internal/refusal"
)

// Stream is a raw disk that arrives in order and is kept nowhere. One goroutine calls NextData from end to end, each
// time with the end of the range before; NextData reads on, leaves out pages of zeros and holds what it returns in
// memory. Any number of goroutines call ReadAt for what NextData has returned, each byte once: what has been read is
// dropped. So the memory is what the caller leaves unread, in blocks of 1 MiB that hold nothing but data, and two
// blocks more; NextData never waits for ReadAt.
type Stream struct {
	r         io.Reader
	announced int64 // size of the file as given; -1: none was
	least     int64 // size of the file that its partition table needs

	// Only NextData uses these.
	at      int64 // bytes of the file read
	tail    []byte
	block   *block  // being filled; nil: none
	pending []*held // found and not yet returned
	err     error   // the end, once met

	size   atomic.Int64
	window window
}

// NewStream checks a file by its beginning, which r still gives, and by its size in bytes, -1 where that is not known.
// The rest is checked at the end of r: NextData then returns a refusal in place of io.EOF, where the size is another
// one, Tail objects, or the partition table needs a larger disk. Other errors of NextData are r's.
func NewStream(r io.Reader, head []byte, size int64) (*Stream, error) {
	if err := Check(head, size); err != nil {
		return nil, err
	}
	s := &Stream{r: r, announced: size, least: leastSize(head), window: window{limit: maxBlocks}}
	s.size.Store(padded(max(size, 0)))
	return s, nil
}

// Size is the guest disk's size in bytes: the file's, rounded up to whole sectors. Where it was not given, it is what
// has been read so far, and final when NextData has returned io.EOF.
func (s *Stream) Size() int64 { return s.size.Load() }

// NextData returns the next range of data, at most 256 KiB. It is for one goroutine, in order.
func (s *Stream) NextData(off int64) (start, end int64, err error) {
	if told := s.window.told(); off < told {
		return 0, 0, fmt.Errorf("raw: NextData(%d) of a stream that has been followed to %d", off, told)
	}
	for len(s.pending) == 0 && s.err == nil {
		s.err = s.fetch()
	}
	if s.err != nil && s.err != io.EOF {
		return 0, 0, s.err
	}
	if len(s.pending) == 0 {
		s.window.tell(nil, s.Size())
		return 0, 0, io.EOF
	}
	h := s.pending[0]
	if off > h.start {
		return 0, 0, fmt.Errorf("raw: NextData(%d) would skip data at %d of a stream", off, h.start)
	}
	s.pending = s.pending[1:]
	s.window.tell(h, h.end)
	return h.start, h.end, nil
}

// ReadAt reads guest bytes of ranges that NextData has returned, and of holes between them that are not behind all
// that is still unread. A byte that was read is gone.
func (s *Stream) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	size := s.Size()
	if off >= size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), size-off))
	for done := 0; done < n; {
		k, err := s.window.read(p[done:n], off+int64(done))
		if err != nil {
			return done, err
		}
		done += k
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fetch reads a batch and finds the data in it. It returns the end as an error: io.EOF, or what is wrong.
func (s *Stream) fetch() error {
	if err := s.room(); err != nil {
		return err
	}
	// The block's room is in whole pages, so a batch ends at one unless the file ends with it.
	b := s.block.buf[s.block.fill:]
	b = b[:min(len(b), batch)]
	n, err := readFull(s.r, b)
	s.take(b, n)
	if s.announced >= 0 && (s.at > s.announced || err == io.EOF && s.at < s.announced) {
		return refusal.New("raw_size", "The disk image has %d bytes or more where %d were announced: the download is "+
			"incomplete, or the file changed meanwhile. Try again.", s.at, s.announced)
	}
	switch {
	case err == io.EOF:
		return s.finish()
	case err != nil:
		return fmt.Errorf("raw: read: %w", err)
	}
	return nil
}

// room makes sure that there is a block with room for a page.
func (s *Stream) room() error {
	if s.block != nil && s.block.fill < blockSize {
		return nil
	}
	s.window.seal(s.block)
	var err error
	s.block, err = s.window.take()
	return err
}

// take finds the data in the n bytes that were read to the block's end, and closes the gaps that zeros leave.
func (s *Stream) take(b []byte, n int) {
	s.tail = append(s.tail, b[max(0, n-sectorSize):n]...)
	s.tail = s.tail[max(0, len(s.tail)-sectorSize):]
	used := int(padded(int64(n)))
	clear(b[n:used])
	kept := 0
	for start, end := nextData(b[:used], 0); start < end; start, end = nextData(b[:used], end) {
		if kept < start {
			copy(b[kept:], b[start:end])
		}
		from := s.at + int64(start)
		s.pending = append(s.pending, &held{
			start: from, end: from + int64(end-start), left: end - start, block: s.block, at: s.block.fill + kept,
		})
		kept += end - start
	}
	s.window.fill(s.block, kept)
	s.at += int64(n)
	if s.announced < 0 {
		s.size.Store(padded(s.at))
	}
}

// finish checks what only the end of the file shows.
func (s *Stream) finish() error {
	s.window.seal(s.block)
	s.block = nil
	if err := Tail(s.tail); err != nil {
		return err
	}
	if err := checkSize(s.least, s.at); err != nil {
		return err
	}
	return io.EOF
}

// readFull fills b. Of all errors only io.EOF is the end of the file: io.ErrUnexpectedEOF of a download that broke must
// not pass for it.
func readFull(r io.Reader, b []byte) (int, error) {
	idle := 0
	for n := 0; ; {
		k, err := r.Read(b[n:])
		n += k
		if idle++; k > 0 {
			idle = 0
		}
		switch {
		case errors.Is(err, io.EOF) && err != io.EOF:
			return n, fmt.Errorf("%w: %v", io.ErrUnexpectedEOF, err) // nobody may find io.EOF in it
		case err != nil || n == len(b):
			return n, err
		case idle == 100:
			return n, io.ErrNoProgress
		}
	}
}
