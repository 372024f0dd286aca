package decompress

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"

	"ingot/internal/inflate"
)

// gzipFile decodes a gzip file (RFC 1952): one member or more.
type gzipFile struct {
	*outlet
	src    *window
	in     int64 // bytes of the source that are used
	decode inflate.Decoder

	crc    uint32 // of the member so far
	length uint32 // of the member so far, modulo 2^32
}

func newGzip(ctx context.Context, r io.Reader) *gzipFile {
	g := &gzipFile{outlet: newOutlet(ctx), src: newWindow(ctx, r, readAhead)}
	go g.decodeAll()
	return g
}

func (g *gzipFile) decodeAll() { g.finish(protected(g.run)) }

// run decodes the file. Members follow one another (RFC 1952, 2.2); after the last one there may be zeros, with which
// tapes and block devices pad.
func (g *gzipFile) run() error {
	for {
		if err := g.header(); err != nil {
			return err
		}
		if err := g.data(); err != nil {
			return err
		}
		if err := g.trailer(); err != nil {
			return err
		}
		next, _, err := g.peek(2)
		switch {
		case err != nil:
			return err
		case len(next) == 0:
			return io.EOF
		case len(next) < 2 || next[0] != 0x1f || next[1] != 0x8b:
			return g.padding()
		}
	}
}

// data decodes a member's data into the outlet's buffers.
func (g *gzipFile) data() error {
	g.decode.Reset()
	g.crc, g.length = 0, 0
	g.begin()
	for {
		if g.src.waits(inflate.MinInput) {
			if err := g.flush(); err != nil {
				return err
			}
		}
		src, last, err := g.peek(inflate.MinInput)
		if err != nil {
			return err
		}
		if err := g.room(); err != nil {
			return err
		}
		text, at := g.window()
		wrote, read, err := g.decode.Next(text, at, src, last)
		g.use(read)
		fresh := text[at : at+wrote]
		g.crc = crc32.Update(g.crc, crc32.IEEETable, fresh)
		g.length += uint32(wrote)
		g.wrote(wrote)
		switch {
		case err == io.EOF:
			return nil
		case err == inflate.ErrTruncated:
			return g.truncated()
		case err != nil:
			return broken("gzip_corrupt", "The gzip data at compressed byte %d (decompressed byte %d) is damaged: %s.", g.in, g.out, strings.TrimPrefix(err.Error(), "inflate: "))
		}
	}
}

// trailer compares a member's checksum and length (RFC 1952, 2.3.1).
func (g *gzipFile) trailer() error {
	b, _, err := g.peek(8)
	switch {
	case err != nil:
		return err
	case len(b) < 8:
		return g.truncated()
	case binary.LittleEndian.Uint32(b) != g.crc:
		return broken("gzip_checksum", "The data before decompressed byte %d does not match its checksum (CRC-32).", g.out)
	case binary.LittleEndian.Uint32(b[4:]) != g.length:
		return broken("gzip_length", "The data before decompressed byte %d does not have the length that the file states.", g.out)
	}
	g.use(8)
	return nil
}

// padding accepts zeros up to the end of the file and refuses anything else.
func (g *gzipFile) padding() error {
	end := g.in
	for {
		b, _, err := g.peek(1)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return io.EOF
		}
		if !zeros(b) {
			return trailing(Gzip, end)
		}
		g.use(len(b))
	}
}

func zeros(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// peek and use are the way to the source.
func (g *gzipFile) peek(n int) ([]byte, bool, error) {
	b, last, err := g.src.peek(n)
	if err != nil {
		err = sourceError(err, g.in)
	}
	return b, last, err
}

func (g *gzipFile) use(n int) {
	g.in += int64(n)
	g.src.release(g.in)
}

func (g *gzipFile) truncated() error { return truncated(Gzip, g.in, g.out) }

// bad refuses the header that g is at.
func (g *gzipFile) bad(format string, args ...any) error {
	return broken("gzip_header", "The gzip header before compressed byte %d cannot be read: "+format+".", append([]any{g.in}, args...)...)
}
