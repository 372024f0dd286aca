package store

// chunk is a piece of the guest that the store keeps by its digest.
type chunk struct {
	off    int64 // guest
	at, n  int   // in its segment's buffer
	digest Digest

	state chunkState
	codec Codec
	outAt int // in the segment's out, if the chunk is new
	outN  int
}

// chunkState is what the store knew of a chunk when the write met it.
type chunkState uint8

const (
	chunkUnknown  chunkState = iota
	chunkKnown               // the store holds it
	chunkNew                 // to be stored
	chunkRepeated            // this write is about to store it already
)

// cutter cuts the guest's data into chunks. It sees segments in guest order, and its cuts do not depend on where one
// segment ends and the next begins: what is not decided at the end of one is carried into the next.
type cutter struct {
	start int64 // the first byte that is in no chunk and in no hole
	next  int64 // the byte after the last page seen
	zero  int64 // where the run of zero pages before next begins
	zeros int   // how many pages it has
	at    int   // where start is in the segment's buffer
	carry []byte
}

// cut cuts one segment.
func (c *cutter) cut(s *segment) {
	c.at = carryMax - copy(s.buf[carryMax-len(c.carry):], c.carry)
	pages := s.pages
	for _, r := range s.runs {
		if r.off != c.next {
			c.hole(s)
			*c = cutter{start: r.off, next: r.off, zero: r.off, zeros: holeRun, at: r.at, carry: c.carry}
		}
		for n := 0; n < r.n; n += pageSize {
			c.page(s, pages[0], min(pageSize, r.n-n))
			pages = pages[1:]
		}
	}
	c.carry = append(c.carry[:0], s.buf[c.at:c.at+int(c.next-c.start)]...)
}

// finish cuts what is left at the end of a disk of the given size into s, which is fresh.
func (c *cutter) finish(s *segment, size int64) {
	c.at = carryMax - copy(s.buf[carryMax-len(c.carry):], c.carry)
	if c.next == size {
		c.fill(s)
		c.zeros = 0
	}
	c.hole(s)
	c.carry = nil
}

// hole ends what is open: the map has a hole at next. Zero pages before it and after it belong to the hole.
func (c *cutter) hole(s *segment) {
	end := c.next
	if c.zeros > 0 {
		end = c.zero
	}
	if end > c.start {
		c.emit(s, end)
	}
}

func (c *cutter) page(s *segment, kind pageKind, size int) {
	if kind == pageZero {
		c.zeroPage(s, size)
		return
	}
	if c.zeros > 0 && c.zeros < holeRun {
		c.fill(s)
	}
	c.zeros = 0
	c.next += int64(size)
	n := c.next - c.start
	if n >= maxChunk || kind == pageCut && n >= minChunk {
		c.emit(s, c.next)
	}
}

func (c *cutter) zeroPage(s *segment, size int) {
	if c.zeros == 0 {
		c.zero = c.next
	}
	c.zeros++
	c.next += int64(size)
	if c.zeros < holeRun {
		return
	}
	if c.zeros == holeRun && c.zero > c.start {
		c.emit(s, c.zero)
	}
	c.at += int(c.next - c.start)
	c.start = c.next
}

// fill makes data of a run of zero pages that turned out too short for a hole. They cut nothing but what is too long.
func (c *cutter) fill(s *segment) {
	if c.zeros == 0 || c.zeros >= holeRun {
		return
	}
	for at := c.zero; at < c.next; {
		at = min(at+pageSize, c.next)
		if at-c.start >= maxChunk {
			c.emit(s, at)
		}
	}
}

func (c *cutter) emit(s *segment, end int64) {
	n := int(end - c.start)
	s.chunks = append(s.chunks, chunk{off: c.start, at: c.at, n: n})
	c.start = end
	c.at += n
}
