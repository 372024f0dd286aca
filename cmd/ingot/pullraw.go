package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sync/errgroup"

	"ingot/gradient/ingot"
)

// raw makes the file from what is there already, what the base has, and what must be fetched, chunk by chunk, each
// checked by its digest. Holes are never written.
func (p *pull) raw(ctx context.Context) error {
	size := p.manifest.GuestSize
	left, err := p.part.resume(size, size)
	if err != nil {
		return err
	}
	if err := p.part.Truncate(size); err != nil {
		return err
	}
	missing := p.manifest.Chunks
	if left == size {
		if missing, err = p.without(ctx, "resume", missing, p.part.File, p.keep); err != nil {
			return err
		}
	}
	if p.base != "" && len(missing) > 0 {
		if missing, err = p.fromBase(ctx, missing); err != nil {
			return err
		}
	}
	return p.fetch(ctx, missing)
}

// keep counts a chunk that the part has.
func (p *pull) keep(chunk ingot.Chunk, _ []byte) error {
	p.have.Add(chunk.Length)
	return nil
}

// write puts a chunk's bytes, which have been checked, in its place.
func (p *pull) write(chunk ingot.Chunk, b []byte) error {
	if _, err := p.part.WriteAt(b, chunk.Offset); err != nil {
		return err
	}
	p.have.Add(chunk.Length)
	return nil
}

// without returns the chunks that a file does not have in their places, and calls found for the others.
func (p *pull) without(ctx context.Context, phase string, chunks []ingot.Chunk, f *os.File, found func(ingot.Chunk, []byte) error) ([]ingot.Chunk, error) {
	var missing []ingot.Chunk
	var done int64
	total := lengthOf(chunks)
	buf := make([]byte, 0, 1<<20)
	for _, chunk := range chunks {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if int64(cap(buf)) < chunk.Length {
			buf = make([]byte, chunk.Length)
		}
		buf = buf[:chunk.Length]
		if _, err := f.ReadAt(buf, chunk.Offset); err != nil || sha256.Sum256(buf) != chunk.SHA256 {
			missing = append(missing, chunk)
		} else if err := found(chunk, buf); err != nil {
			return nil, err
		}
		done += chunk.Length
		p.bar.show(phase, done, total)
	}
	return missing, nil
}

func lengthOf(chunks []ingot.Chunk) (total int64) {
	for _, c := range chunks {
		total += c.Length
	}
	return total
}

// A fetch asks for so many bytes at once, of chunks that lie no further apart than a gap that costs less than a request.
const (
	fetchSize     = 8 << 20
	fetchGap      = 256 << 10
	fetchesAtOnce = 4
)

// fetch gets chunks, several ranges at once, and writes each when it has been checked.
func (p *pull) fetch(ctx context.Context, chunks []ingot.Chunk) error {
	total := lengthOf(chunks)
	p.bar.show("fetch", 0, total)
	g, group := errgroup.WithContext(ctx)
	g.SetLimit(fetchesAtOnce)
	for len(chunks) > 0 && group.Err() == nil {
		n := 1
		for n < len(chunks) && chunks[n].Offset+chunks[n].Length-chunks[0].Offset <= fetchSize &&
			chunks[n].Offset-chunks[n-1].Offset-chunks[n-1].Length <= fetchGap {
			n++
		}
		batch := chunks[:n]
		chunks = chunks[n:]
		g.Go(func() error { return p.fetchBatch(batch, total) })
	}
	return errors.Join(g.Wait(), context.Cause(ctx))
}

func (p *pull) fetchBatch(batch []ingot.Chunk, total int64) error {
	first, last := batch[0], batch[len(batch)-1]
	buf := make([]byte, last.Offset+last.Length-first.Offset)
	if _, err := p.remote.ReadAt(buf, first.Offset); err != nil && err != io.EOF {
		return err
	}
	for _, c := range batch {
		b := buf[c.Offset-first.Offset:][:c.Length]
		if sha256.Sum256(b) != c.SHA256 {
			return fmt.Errorf("the %d bytes fetched at %d are not those of the image's manifest", c.Length, c.Offset)
		}
		if err := p.write(c, b); err != nil {
			return err
		}
		p.bar.show("fetch", p.fetched.Add(c.Length), total)
	}
	return nil
}
