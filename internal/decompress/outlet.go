package decompress

import (
	"context"

	"ingot/internal/inflate"
)

// The buffers of an outlet: how many there are, and bytes of each. One is being read, one being filled, and the others
// even out the two.
const (
	outBuffers = 4
	outSize    = 512<<10 + history

	history = 32 << 10 // how far back DEFLATE may reach (RFC 1951, 2)
)

// outlet hands what one goroutine decodes to the one that reads it. The decoder finds what it has decoded before in
// front of where it writes.
type outlet struct {
	ctx    context.Context
	pieces chan piece
	unused chan []byte // nil stands for a buffer that is yet to be made

	buf   []byte // being filled
	start int    // in buf: what the decoder may reach back to
	sent  int    // in buf: what is on its way to the reader
	at    int    // in buf: where the decoder writes
	out   int64  // bytes decoded, in all

	done []byte // the buffer that the reader has had the last piece of
}

type piece struct {
	text []byte
	last []byte // the buffer, if no further piece of it comes
	err  error
}

func newOutlet(ctx context.Context) *outlet {
	o := &outlet{ctx: ctx, pieces: make(chan piece, outBuffers), unused: make(chan []byte, outBuffers)}
	o.buf = make([]byte, outSize)
	for range outBuffers - 1 {
		o.unused <- nil
	}
	return o
}

// begin says that what follows does not reach back to what is there.
func (o *outlet) begin() { o.start = o.at }

// window returns the buffer from what the decoder may reach back to, and where in it to write.
func (o *outlet) window() ([]byte, int) { return o.buf[o.start:], o.at - o.start }

// wrote says that n bytes more are decoded.
func (o *outlet) wrote(n int) {
	o.at += n
	o.out += int64(n)
}

// room makes sure that the decoder can write, in a new buffer if need be.
func (o *outlet) room() error {
	if len(o.buf)-o.at >= inflate.MinRoom {
		return nil
	}
	var next []byte
	select {
	case next = <-o.unused:
	case <-o.ctx.Done():
		return context.Cause(o.ctx)
	}
	if next == nil {
		next = make([]byte, outSize)
	}
	kept := copy(next, o.buf[max(o.start, o.at-history):o.at])
	err := o.send(piece{text: o.buf[o.sent:o.at], last: o.buf})
	o.buf, o.start, o.sent, o.at = next, 0, kept, kept
	return err
}

// flush hands over what is decoded so far.
func (o *outlet) flush() error {
	if o.sent == o.at {
		return nil
	}
	text := o.buf[o.sent:o.at]
	o.sent = o.at
	return o.send(piece{text: text})
}

// finish hands over what is left, and err.
func (o *outlet) finish(err error) {
	if o.flush() == nil {
		o.send(piece{err: err})
	}
}

func (o *outlet) send(p piece) error {
	select {
	case o.pieces <- p:
		return nil
	case <-o.ctx.Done():
		return context.Cause(o.ctx)
	}
}

// next is for the reading goroutine, as decoder says.
func (o *outlet) next() ([]byte, error) {
	for {
		if o.done != nil {
			o.unused <- o.done
			o.done = nil
		}
		select {
		case p := <-o.pieces:
			if o.done = p.last; len(p.text) > 0 || p.err != nil {
				return p.text, p.err
			}
		case <-o.ctx.Done():
			return nil, context.Cause(o.ctx)
		}
	}
}
