package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ingot/gradient/ingot"
	"ingot/internal/disk/qcow2"
)

type imagePullCmd struct {
	clientFlags
	ID     int64  `arg:"" help:"The image's id."`
	File   string `arg:"" help:"The file to write."`
	Format string `help:"raw or qcow2. Without it, qcow2 if the file's name ends so, else raw." enum:",raw,qcow2" default:"" placeholder:"FORMAT" env:"-"`
	Base   string `help:"A raw file of an older version of the image: only what differs from it is fetched." type:"existingfile" placeholder:"OLDFILE" env:"-"`
}

// Run fetches the image into FILE.part, which becomes FILE when every byte has been checked. What an interrupted pull
// has fetched is used by the next.
func (c *imagePullCmd) Run(ctx context.Context, term terminal) error {
	if c.Format == "" {
		c.Format = "raw"
		if strings.EqualFold(filepath.Ext(c.File), ".qcow2") {
			c.Format = "qcow2"
		}
	}
	if c.Base != "" && c.Format != "raw" {
		return usageError{errors.New("--base is for raw files")}
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	manifest, err := cl.more.Manifests.Get(ctx, c.ID)
	if err != nil {
		return err
	}
	remote, err := cl.more.Files.Open(ctx, c.ID, ingot.FileOpenParams{Format: ingot.FileFormat(c.Format)})
	if err != nil {
		return err
	}
	bar := newBar(term)
	defer bar.close()
	part := c.File + ".part"
	p := &pull{manifest: manifest, remote: remote, bar: bar, base: c.Base}
	if c.Format == "raw" {
		err = p.raw(ctx, part)
	} else {
		err = p.qcow2(part)
	}
	if err != nil {
		return fmt.Errorf("%w\nWhat was fetched is kept in %s; the same command goes on from there", err, part)
	}
	if err := os.Rename(part, c.File); err != nil {
		return err
	}
	if err := errors.Join(os.Remove(part+".etag"), syncFolder(filepath.Dir(c.File))); err != nil {
		return err
	}
	return c.print(term, map[string]any{"file": c.File, "size": remote.Size(), "fetched": p.fetched.Load()}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s, %s fetched, all of it verified\n", c.File, sizeText(remote.Size()), sizeText(p.fetched.Load()))
		return err
	})
}

// pull is the fetching of one file.
type pull struct {
	manifest *ingot.Manifest
	remote   *ingot.File
	bar      *bar
	base     string // "" for none
	fetched  atomic.Int64
}

// raw makes the file from what is there already, what the base has in the same place, and what must be fetched, chunk
// by chunk, each checked by its digest. Holes are never written.
func (p *pull) raw(ctx context.Context, part string) error {
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	missing, err := p.missing(ctx, f)
	if err != nil {
		return err
	}
	if err := f.Truncate(p.manifest.GuestSize); err != nil {
		return err
	}
	if err := p.fetch(ctx, f, missing); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// missing returns the chunks that neither the file nor the base has. What the file has outside of chunks, of another
// image say, would be taken for a hole: such a file is begun anew.
func (p *pull) missing(ctx context.Context, f *os.File) ([]ingot.Chunk, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	resumed := info.Size() == p.manifest.GuestSize && p.marked(f.Name())
	if !resumed {
		if err := f.Truncate(0); err != nil {
			return nil, err
		}
		if err := p.mark(f.Name()); err != nil {
			return nil, err
		}
	}
	var base *os.File
	if p.base != "" {
		if base, err = os.Open(p.base); err != nil {
			return nil, err
		}
		defer base.Close()
	}
	var missing []ingot.Chunk
	buf := make([]byte, 0, 1<<20)
	for i, chunk := range p.manifest.Chunks {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.bar.show("compare", int64(i), int64(len(p.manifest.Chunks)))
		if resumed && holds(f, chunk, &buf) {
			continue
		}
		if base == nil || !holds(base, chunk, &buf) {
			missing = append(missing, chunk)
			continue
		}
		if _, err := f.WriteAt(buf, chunk.Offset); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// holds reports whether a file has a chunk in the chunk's place, and leaves it in buf.
func holds(f *os.File, chunk ingot.Chunk, buf *[]byte) bool {
	if int64(cap(*buf)) < chunk.Length {
		*buf = make([]byte, chunk.Length)
	}
	*buf = (*buf)[:chunk.Length]
	_, err := f.ReadAt(*buf, chunk.Offset)
	return err == nil && sha256.Sum256(*buf) == chunk.SHA256
}

// A fetch asks for so many bytes at once, of chunks that lie no further apart than a gap that costs less than a request.
const (
	fetchSize     = 8 << 20
	fetchGap      = 256 << 10
	fetchesAtOnce = 4
)

// fetch gets chunks, several ranges at once, and writes each when it has been checked.
func (p *pull) fetch(ctx context.Context, f *os.File, chunks []ingot.Chunk) error {
	var total int64
	for _, c := range chunks {
		total += c.Length
	}
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
		g.Go(func() error { return p.fetchBatch(f, batch, total) })
	}
	return errors.Join(g.Wait(), context.Cause(ctx))
}

func (p *pull) fetchBatch(f *os.File, batch []ingot.Chunk, total int64) error {
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
		if _, err := f.WriteAt(b, c.Offset); err != nil {
			return err
		}
		p.bar.show("fetch", p.fetched.Add(c.Length), total)
	}
	return nil
}

// qcow2 fetches the file in order, on from where an earlier pull of the same file stopped, and then checks what a
// guest would read of it against the manifest.
func (p *pull) qcow2(part string) error {
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	var have int64
	if info, err := f.Stat(); err != nil {
		return err
	} else if p.marked(part) && info.Size() <= p.remote.Size() {
		have = info.Size()
	}
	if err := errors.Join(f.Truncate(have), p.mark(part)); err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	r := p.remote.NewReader(have)
	defer r.Close()
	if _, err := io.Copy(io.MultiWriter(f, p), r); err != nil {
		return err
	}
	if err := p.verify(f); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Write counts what is fetched.
func (p *pull) Write(b []byte) (int, error) {
	p.bar.show("fetch", p.fetched.Add(int64(len(b))), p.remote.Size())
	return len(b), nil
}

// verify reads a qcow2 file as a guest would. One that is wrong is no use to a later pull.
func (p *pull) verify(f *os.File) error {
	d, err := qcow2.Open(f, p.remote.Size())
	if err != nil {
		return errors.Join(err, f.Truncate(0))
	}
	buf := make([]byte, 0, 1<<20)
	for i, c := range p.manifest.Chunks {
		p.bar.show("verify", int64(i), int64(len(p.manifest.Chunks)))
		if int64(cap(buf)) < c.Length {
			buf = make([]byte, c.Length)
		}
		buf = buf[:c.Length]
		if _, err := d.ReadAt(buf, c.Offset); err != nil && err != io.EOF || sha256.Sum256(buf) != c.SHA256 {
			return errors.Join(fmt.Errorf("the file does not hold the image's bytes at %d", c.Offset), f.Truncate(0))
		}
	}
	return nil
}

// The file that is being made is marked, beside it, with the tag of the file that it is to become: what is in it is
// used for no other.
func (p *pull) marked(part string) bool {
	tag, err := os.ReadFile(part + ".etag")
	return err == nil && string(tag) == p.remote.ETag()
}

func (p *pull) mark(part string) error {
	return os.WriteFile(part+".etag", []byte(p.remote.ETag()), 0o644)
}
