package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"ingot/internal/disk/qcow2"
)

// qcow2 fetches the file in order, on from where an earlier pull of the same file stopped, and then checks what a
// guest would read of it against the manifest. One that is wrong is no use to a later pull.
func (p *pull) qcow2(ctx context.Context) error {
	left, err := p.part.resume(0, p.remote.Size())
	if err != nil {
		return err
	}
	p.have.Store(left)
	if _, err := p.part.Seek(left, io.SeekStart); err != nil {
		return err
	}
	p.bar.show("fetch", left, p.remote.Size())
	r := p.remote.NewReader(left)
	defer r.Close()
	if _, err := io.Copy(p, r); err != nil {
		return err
	}
	err = p.verify(ctx)
	if err != nil && ctx.Err() == nil {
		p.have.Store(0)
	}
	return err
}

// Write adds to the file what was fetched.
func (p *pull) Write(b []byte) (int, error) {
	n, err := p.part.Write(b)
	p.fetched.Add(int64(n))
	p.bar.show("fetch", p.have.Add(int64(n)), p.remote.Size())
	return n, err
}

// verify reads a qcow2 file as a guest would: the image's chunks in their places, and zeros everywhere else.
func (p *pull) verify(ctx context.Context) error {
	d, err := qcow2.Open(p.part, p.remote.Size())
	if err != nil {
		return err
	}
	const sector = 512 // what qcow2 counts a disk in
	if want := (p.manifest.GuestSize + sector - 1) / sector * sector; d.Size() != want {
		return fmt.Errorf("the file is of a disk of %d bytes, not of one of %d", d.Size(), want)
	}
	buf := make([]byte, 1<<20)
	var done int64
	for _, c := range p.manifest.Chunks {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if int64(len(buf)) < c.Length {
			buf = make([]byte, c.Length)
		}
		b := buf[:c.Length]
		if _, err := d.ReadAt(b, c.Offset); err != nil && err != io.EOF || sha256.Sum256(b) != c.SHA256 {
			return fmt.Errorf("the file does not hold the image's bytes at %d", c.Offset)
		}
		done += c.Length
		p.bar.show("verify", done, p.manifest.DataBytes)
	}
	return p.verifyHoles(ctx, d, buf)
}

// verifyHoles makes sure that what the file maps beside the image's chunks is zeros: the ends of clusters, and nothing else.
func (p *pull) verifyHoles(ctx context.Context, d *qcow2.Disk, buf []byte) error {
	chunks := p.manifest.Chunks
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for off = end; len(chunks) > 0 && chunks[0].Offset < end; chunks = chunks[1:] {
			if err := verifyZeros(ctx, d, start, chunks[0].Offset, buf); err != nil {
				return err
			}
			start = max(start, chunks[0].Offset+chunks[0].Length)
			if start > end {
				break // the chunk goes on in the next range
			}
		}
		if err := verifyZeros(ctx, d, start, end, buf); err != nil {
			return err
		}
	}
}

// verifyZeros makes sure that a guest reads zeros from start to end, which may lie before it.
func verifyZeros(ctx context.Context, d *qcow2.Disk, start, end int64, buf []byte) error {
	for start < end {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := buf[:min(int64(len(buf)), end-start)]
		if _, err := d.ReadAt(b, start); err != nil && err != io.EOF {
			return err
		}
		if !isZero(b) {
			return fmt.Errorf("the file holds bytes at %d that the image does not have", start)
		}
		start += int64(len(b))
	}
	return nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
