package decompress

import (
	"context"
	"fmt"
	"io"
)

// readAhead is the window of a source that is used in order, in bytes.
const readAhead = 1 << 20

// plain gives a file that is not wrapped as it is.
type plain struct {
	src *window
	off int64
}

func newPlain(ctx context.Context, r io.Reader) *plain {
	return &plain{src: newWindow(ctx, r, readAhead)}
}

func (p *plain) next() ([]byte, error) {
	p.src.release(p.off)
	b, _, err := p.src.peek(1)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the file at byte %d: %w", p.off, err)
	case len(b) == 0:
		return nil, io.EOF
	}
	b = b[:min(len(b), readAhead/4)] // the rest of the window goes on filling
	p.off += int64(len(b))
	return b, nil
}
