package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// compactBatch is how many sparse packs are looked at together: their manifests are read once for all.
const compactBatch = 16

// ManifestRef names a published manifest.
type ManifestRef struct {
	ID     int64
	Object string
	Digest Digest
}

// SparsePack is a pack of which much may be dead, with all the manifests that use it and the chunks that the index
// locates in it.
type SparsePack struct {
	Name      string
	Size      int64
	Manifests []ManifestRef // in order of ID
	Chunks    []Entry
}

// CompactIndex is what rewriting packs needs of the chunk index.
type CompactIndex interface {
	// Sparse returns packs that nobody pins, of which a manifest has let go, and of which no single manifest uses
	// half. It reports each until Keep or Replace has settled it.
	Sparse(ctx context.Context, limit int) ([]SparsePack, error)

	// Keep says that a pack is worth its room, until the next manifest lets go of it. If one has since Sparse, it
	// changes nothing.
	Keep(ctx context.Context, pack SparsePack) error

	// Reserve registers a pack that the sweep is about to write, for an hour.
	Reserve(ctx context.Context, name string) error

	// Replace makes a durable pack known in place of others, in one transaction: it moves their chunks that it holds,
	// forgets the rest, and marks them dead. If since Sparse one of them was pinned, named by another manifest or
	// replaced, it changes nothing, marks the new pack dead and returns false.
	Replace(ctx context.Context, pack string, size int64, entries []Entry, old []SparsePack) (bool, error)
}

// compaction is the compacting of a store.
type compaction struct {
	*Store
	report *SweepReport
	failed []error // what is damaged: it holds up nothing else
}

// compact rewrites packs that are mostly dead. Between Sparse and Replace anything may happen to the packs: an import
// may pin them and publish a manifest that uses what was dead a moment ago. Replace notices, since every new user pins
// first, and a pinned pack or an unknown manifest stops it. A pack with damage is left to Check for a while, and is part
// of the error.
func (s *Store) compact(ctx context.Context, report *SweepReport) error {
	c := &compaction{Store: s, report: report}
	for {
		packs, err := s.index.Sparse(ctx, compactBatch)
		settled := 0
		if err == nil && len(packs) > 0 {
			settled, err = c.some(ctx, packs)
		}
		if err != nil || settled == 0 {
			return errors.Join(append(c.failed, err)...) // the rest is for the next sweep
		}
	}
}

// some returns how many of the packs need not be looked at again.
func (c *compaction) some(ctx context.Context, packs []SparsePack) (int, error) {
	live, err := c.live(ctx, packs)
	damage := (*DamageError)(nil)
	switch {
	case (errors.Is(err, fs.ErrNotExist) || errors.As(err, &damage)) && len(packs) > 1:
		return c.each(ctx, packs)
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil // an image was deleted since Sparse: the next sweep sees it; a manifest that is lost is Check's to tell
	case errors.As(err, &damage):
		return c.putOff(ctx, packs[0].Name, err)
	case err != nil:
		return 0, err
	}
	var batch rewriting
	settled := 0
	for i, p := range packs {
		size := storedBytes(live[i])
		if size*2 >= p.Size {
			if err := c.index.Keep(ctx, p); err != nil {
				return settled, err
			}
			settled++
			continue
		}
		if batch.size+size > packSize || batch.chunks+len(live[i]) > packEntries {
			n, err := c.rewrite(ctx, batch)
			if settled += n; err != nil {
				return settled, err
			}
			batch = rewriting{}
		}
		batch.old, batch.live = append(batch.old, p), append(batch.live, live[i])
		batch.chunks, batch.size = batch.chunks+len(live[i]), batch.size+size
	}
	n, err := c.rewrite(ctx, batch)
	return settled + n, err
}

// each looks at packs one by one: a manifest that is gone, or damaged, holds up only those that it uses.
func (c *compaction) each(ctx context.Context, packs []SparsePack) (int, error) {
	settled := 0
	for i := range packs {
		n, err := c.some(ctx, packs[i:i+1])
		if settled += n; err != nil {
			return settled, err
		}
	}
	return settled, nil
}

// putOff leaves a pack alone for a while.
func (c *compaction) putOff(ctx context.Context, pack string, why error) (int, error) {
	c.failed = append(c.failed, fmt.Errorf("compacting pack %s: %w", pack, why))
	return 1, c.index.PutOff(ctx, pack, damagedFor)
}

// rewriting is the making of one pack out of others.
type rewriting struct {
	old    []SparsePack
	live   [][]Entry // of each, what is kept
	chunks int       // of all these
	size   int64     // and their stored bytes
}

func storedBytes(entries []Entry) int64 {
	var n int64
	for i := range entries {
		n += int64(entries[i].Stored)
	}
	return n
}

// live returns, for each pack, its chunks that a manifest uses. Each manifest is read once, a block at a time.
func (s *Store) live(ctx context.Context, packs []SparsePack) ([][]Entry, error) {
	used := map[Digest]bool{} // the packs' chunks: whether a manifest uses them
	manifests := map[int64]ManifestRef{}
	for _, p := range packs {
		for _, e := range p.Chunks {
			used[e.Digest] = false
		}
		for _, m := range p.Manifests {
			manifests[m.ID] = m
		}
	}
	for _, m := range manifests {
		if err := s.eachRecord(ctx, m, func(records []record) {
			for i := range records {
				if _, ok := used[records[i].digest]; ok {
					used[records[i].digest] = true
				}
			}
		}); err != nil {
			return nil, err
		}
	}
	live := make([][]Entry, len(packs))
	for i, p := range packs {
		for _, e := range p.Chunks {
			if used[e.Digest] {
				live[i] = append(live[i], e)
			}
		}
	}
	return live, nil
}

// eachRecord calls fn with the records of a manifest, a block at a time.
func (s *Store) eachRecord(ctx context.Context, m ManifestRef, fn func([]record)) error {
	r, err := s.Open(ctx, m.Object, m.Digest)
	if err != nil {
		return err
	}
	for i := range r.root.first {
		records, err := r.root.readBlock(r.object, i)
		if err != nil {
			return r.damage(err)
		}
		fn(records)
	}
	return nil
}

// rewrite copies chunks, compressed as they are and each checked, into a new pack, and puts it in place of the old. It
// returns how many packs need not be looked at again.
func (c *compaction) rewrite(ctx context.Context, r rewriting) (int, error) {
	if len(r.old) == 0 {
		return 0, nil
	}
	p, err := c.reserve(ctx)
	if err != nil {
		return 0, err
	}
	if pack, err := c.copyLive(ctx, p, r); err != nil {
		aborted := p.object.Abort()
		damage := (*DamageError)(nil)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return 0, aborted // another sweep was quicker; a pack that is lost is Check's to tell
		case errors.As(err, &damage):
			n, err := c.putOff(ctx, pack, err)
			return n, errors.Join(err, aborted)
		}
		return 0, errors.Join(err, aborted)
	}
	if err := p.commit(); err != nil {
		return 0, errors.Join(err, p.object.Abort())
	}
	done, err := c.index.Replace(ctx, p.name, p.size, p.entries, r.old)
	if err != nil || !done {
		return 0, err
	}
	c.report.Rewritten += len(r.old)
	c.report.Moved += r.size
	return len(r.old), nil
}

// copyLive fills a pack. With an error it names the pack that it was reading.
func (c *compaction) copyLive(ctx context.Context, to *packWriter, r rewriting) (string, error) {
	from := c.reader(ctx, "", 0)
	for i, old := range r.old {
		from.turn(old.Name, old.Size)
		for k := range r.live[i] {
			if err := from.copyTo(to, &r.live[i][k]); err != nil {
				return old.Name, err
			}
		}
	}
	return "", nil
}
