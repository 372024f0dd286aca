package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// unreadableError is an error of the reading of an object.
type unreadableError struct{ error }

func (e unreadableError) Unwrap() error { return e.error }

// packCheck is what is found out about one pack.
type packCheck struct {
	*check
	o       KeptObject
	size    int64
	rows    []Entry // of the index
	located map[Digest]bool
	entries []Entry // to be read: of the pack's table, or where it has none the rows
	good    []Entry // of entries, those that were read and are what they should be
	found   []Damage
	read    bool // its chunks were
	unread  bool // it cannot be
	rewrite bool // bytes of the pack are wrong
	spare   int  // chunks that the index locates nowhere
}

func (c *check) packs(ctx context.Context) error {
	return c.kept(ctx, func(ctx context.Context, o KeptObject) error {
		if o.Kind != KindPack {
			return nil
		}
		return c.pack(ctx, o)
	})
}

// pack checks one pack against its own table and against the index, and then tells all that is wrong with it.
func (c *check) pack(ctx context.Context, o KeptObject) error {
	p, err := c.examine(ctx, o)
	if err != nil {
		gone, e := c.swept(ctx, o) // a sweep that has taken the pack explains it
		if e != nil || gone {
			return e
		}
		return err
	}
	if p.read {
		c.count(func(r *CheckReport) { r.Packs++; r.Objects++; r.Chunks += int64(len(p.entries)); r.Bytes += p.size })
	}
	if len(p.found) == 0 && !(c.Repair && p.spare > 0) {
		return nil
	}
	if gone, err := c.swept(ctx, o); gone || err != nil {
		return err
	}
	images, err := c.index.Concerned(ctx, o.Name)
	if err != nil {
		return err
	}
	var done string
	if c.Repair {
		if done, err = p.repair(ctx); err != nil {
			return err
		}
	}
	for _, d := range p.found {
		d.Object, d.Images, d.Repair, d.Mended = o.Name, images, done, done != ""
		c.tell(d)
	}
	return nil
}

// examine finds out about a pack.
func (c *check) examine(ctx context.Context, o KeptObject) (p *packCheck, err error) {
	p = &packCheck{check: c, o: o}
	if p.rows, err = c.index.PackChunks(ctx, o.Name); err != nil {
		return nil, err
	}
	p.located = make(map[Digest]bool, len(p.rows))
	for i := range p.rows {
		p.located[p.rows[i].Digest] = true
	}
	err = p.examine(ctx)
	if unread := (unreadableError{}); errors.As(err, &unread) && c.unreadable(ctx) {
		p.found, p.unread, p.spare = nil, true, 0
		p.note(PackUnreadable, "the pack cannot be read: %v", unread.error)
		p.lose()
		return p, nil
	}
	return p, err
}

func (p *packCheck) note(code DamageCode, format string, args ...any) {
	p.found = append(p.found, Damage{Code: code, Detail: fmt.Sprintf(format, args...)})
}

// stat returns an object's size and whether it is there.
func (c *check) stat(ctx context.Context, o KeptObject) (size int64, there bool, err error) {
	size, err = c.objects.Stat(ctx, o.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	return size, err == nil, err
}

// lose notes that the pack's chunks cannot be read.
func (p *packCheck) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone[p.o.Name] = struct{}{}
}

func (p *packCheck) examine(ctx context.Context) error {
	size, there, err := p.stat(ctx, p.o)
	if err != nil {
		return unreadableError{err}
	}
	if !there {
		p.rewrite = true
		p.lose()
		p.note(PackMissing, "the pack is gone, and %d chunks with it", len(p.rows))
		return nil
	}
	if p.size = size; size != p.o.Size {
		p.note(PackAltered, "the pack has %d bytes and should have %d", size, p.o.Size)
	}
	p.entries, err = readTable(objectReader{ctx, p.objects, p.o.Name}, p.o.Name, size)
	var damage *DamageError
	switch {
	case errors.As(err, &damage):
		p.rewrite = true
		p.note(PackAltered, "%s", damage.Reason)
		p.entries = p.rows
	case err != nil:
		return unreadableError{err}
	default:
		if err := p.compare(ctx); err != nil {
			return err
		}
	}
	return p.chunks(ctx)
}

// compare holds the index's rows of a pack against the pack's table. A chunk without a row may well be: another pack was
// first with it, and has gone since. It is damage if an image needs it.
func (p *packCheck) compare(ctx context.Context) error {
	table := make(map[Digest]*Location, len(p.entries))
	for i := range p.entries {
		table[p.entries[i].Digest] = &p.entries[i].Location
	}
	wrong := 0
	for _, r := range p.rows {
		if l := table[r.Digest]; l == nil || *l != r.Location {
			p.lost(r.Digest)
			wrong++
		}
		delete(table, r.Digest)
	}
	if wrong > 0 {
		p.note(RowWithoutChunk, "%d of %d chunks are not where the index says", wrong, len(p.rows))
	}
	var rest []Digest
	for d := range table {
		rest = append(rest, d)
	}
	if len(rest) == 0 {
		return nil
	}
	found, err := p.index.Locate(ctx, rest)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range found {
		if found[i].Pack != "" {
			continue
		}
		p.spare++
		p.located[rest[i]] = true // by a repair
		if len(p.spares) < maxWanted {
			p.spares[rest[i]] = p.o.Name
		}
	}
	return nil
}

// chunks reads a pack's chunks and checks each against its digest. One that the index locates elsewhere is lost to
// nobody.
func (p *packCheck) chunks(ctx context.Context) error {
	r := p.reader(ctx, p.o.Name, p.size)
	bad, first := 0, ""
	for i := range p.entries {
		e := &p.entries[i]
		_, _, err := r.read(e)
		damage := (*DamageError)(nil)
		if err != nil && !errors.As(err, &damage) {
			return unreadableError{err}
		}
		switch {
		case damage == nil && p.located[e.Digest]:
			p.good = append(p.good, *e)
		case damage != nil:
			if bad++; bad == 1 {
				first = e.Digest.String() + ": " + damage.Cause.Error()
			}
			if p.located[e.Digest] {
				p.lost(e.Digest)
			}
		}
	}
	if bad > 0 {
		p.rewrite = true
		p.note(ChunkAltered, "%d of %d chunks are damaged; the first is %s", bad, len(p.entries), first)
	}
	p.read = true
	return nil
}
