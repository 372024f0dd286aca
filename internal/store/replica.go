package store

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Replica is one of the stores that have a disk.
type Replica struct {
	Store  *Store
	Object string // the manifest's name in it
}

// Replicated is a disk that several stores may have: where one fails the next is asked, from the first byte to the
// last. It is safe for use by several goroutines.
type Replicated struct {
	ctx      context.Context
	digest   Digest
	replicas []Replica
	failed   func(replica int, err error)

	mu      sync.Mutex
	readers []*Reader // nil: not opened yet
	best    int       // that served last
}

// OpenReplicated opens a disk in the first of its stores that can. failed is called for each failure that another store
// makes good, or may. ctx bounds the reads too.
func OpenReplicated(ctx context.Context, digest Digest, replicas []Replica, failed func(replica int, err error)) (*Replicated, error) {
	r := &Replicated{ctx: ctx, digest: digest, replicas: replicas, failed: failed, readers: make([]*Reader, len(replicas))}
	return r, r.do(func(*Reader) error { return nil })
}

// do calls fn with one reader after the other until one has served; io.EOF is an answer too.
func (r *Replicated) do(fn func(*Reader) error) error {
	r.mu.Lock()
	first := r.best
	r.mu.Unlock()
	var errs []error
	for n := range r.replicas {
		i := (first + n) % len(r.replicas)
		d, err := r.reader(i)
		if err == nil {
			if err = fn(d); err == nil || err == io.EOF {
				r.serves(i)
				return err
			}
		}
		if r.ctx.Err() != nil {
			return err
		}
		r.failed(i, err)
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

func (r *Replicated) reader(i int) (d *Reader, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers[i] == nil {
		r.readers[i], err = r.replicas[i].Store.Open(r.ctx, r.replicas[i].Object, r.digest)
	}
	return r.readers[i], err
}

func (r *Replicated) serves(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.best = i
}

// opened returns a reader that was opened, of which there is one: all say the same of what the digest decides.
func (r *Replicated) opened() *Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.readers[r.best]
}

// Size returns the guest disk's size in bytes.
func (r *Replicated) Size() int64 { return r.opened().Size() }

// ReadAt reads guest bytes.
func (r *Replicated) ReadAt(p []byte, off int64) (n int, err error) {
	err = r.do(func(d *Reader) (err error) {
		n, err = d.ReadAt(p, off)
		return err
	})
	return n, err
}

// NextData returns the next range of chunks that follow one another.
func (r *Replicated) NextData(off int64) (start, end int64, err error) {
	err = r.do(func(d *Reader) (err error) {
		start, end, err = d.NextData(off)
		return err
	})
	return start, end, err
}

// ReplicatedManifest is the manifest of a disk that several stores may have.
type ReplicatedManifest struct{ r *Replicated }

// Manifest returns the manifest that the disk is read by.
func (r *Replicated) Manifest() ReplicatedManifest { return ReplicatedManifest{r} }

// Size is the manifest's length in bytes.
func (f ReplicatedManifest) Size() int64 { return f.r.opened().Manifest().Size() }

// WriteRange writes n bytes from off on to w. Each piece has been checked before it is written.
func (f ReplicatedManifest) WriteRange(ctx context.Context, w io.Writer, off, n int64) error {
	to := &countingWriter{w: w}
	err := f.r.do(func(d *Reader) error {
		err := d.Manifest().WriteRange(ctx, to, off+to.n, n-to.n)
		if to.err != nil {
			return nil // no store's fault
		}
		return err
	})
	return errors.Join(to.err, err)
}

// countingWriter knows how much was written, and why no more can be.
type countingWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
	return n, err
}
