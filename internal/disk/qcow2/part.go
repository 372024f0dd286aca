package qcow2

import (
	"errors"
	"slices"
	"sync"
)

// maxIdle is how many inflated clusters are kept that nobody is reading just now.
const maxIdle = 4

// parts has the compressed clusters that are read in parts: each is inflated once for all who read it at the same time,
// and, with luck, for who comes back for more. An import reads a cluster of 2 MiB by two readers at once.
type parts struct {
	buffers sync.Pool // *[]byte of one cluster
	counts  bool      // each guest byte is read once

	mu   sync.Mutex
	held map[int64]*part // by the guest byte that a cluster begins at
	idle []*part         // those of them without readers; the last was read last
	read map[int64]int64 // guest bytes read of a cluster, while there are more; if counts
}

type part struct {
	guest   int64
	readers int

	ready  chan struct{} // closed when the others are set
	buf    *[]byte
	length int64 // of the stream
	err    error
}

var errNotInflated = errors.New("qcow2: another reader of the cluster did not get to its end")

// readPart reads a part of a compressed cluster.
func (d *Disk) readPart(p []byte, x extent) error {
	guest := x.start &^ (d.clusterSize - 1)
	c, isNew := d.parts.get(guest)
	if isNew {
		d.inflatePart(c, x)
	}
	<-c.ready
	if c.err == nil {
		copy(p, (*c.buf)[x.start-guest:])
	}
	err, length := c.err, c.length
	if d.parts.done(c, int64(len(p)), min(d.clusterSize, d.size-guest)) {
		d.doneStreams([]extent{{host: x.host, length: length}})
	}
	return err
}

// inflatePart makes c ready, come what may: others wait for it.
func (d *Disk) inflatePart(c *part, x extent) {
	defer close(c.ready)
	c.err = errNotInflated // for them, after a panic
	r := d.runs.Get().(*run)
	defer d.runs.Put(r)
	in, err := d.readStreams(r, x.host, x)
	if err != nil {
		c.err = err
		return
	}
	c.buf = d.parts.buffers.Get().(*[]byte)
	var used int
	used, c.err = d.inflate(*c.buf, in, x)
	c.length = int64(used)
}

// get returns a cluster for one more reader, who makes it ready if it is new, and calls done.
func (s *parts) get(guest int64) (c *part, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c = s.held[guest]
	if c == nil {
		c = &part{guest: guest, ready: make(chan struct{})}
		s.held[guest] = c
		isNew = true
	} else if i := slices.Index(s.idle, c); i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
	c.readers++
	return c, isNew
}

// done ends a reading of n of a cluster's length guest bytes, and reports whether none of them will be read again.
func (s *parts) done(c *part, n, length int64) (complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts && c.err == nil {
		s.read[c.guest] += n
		if complete = s.read[c.guest] >= length; complete {
			delete(s.read, c.guest)
		}
	}
	c.readers--
	switch {
	case c.readers > 0:
	case complete || c.err != nil:
		s.drop(c)
	default:
		s.idle = append(s.idle, c)
		if len(s.idle) > maxIdle {
			s.drop(s.idle[0])
			s.idle = slices.Delete(s.idle, 0, 1)
		}
	}
	return complete
}

func (s *parts) drop(c *part) {
	delete(s.held, c.guest)
	if c.buf != nil {
		s.buffers.Put(c.buf)
	}
}
