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

// compact rewrites packs that are mostly dead. Between Sparse and Replace anything may happen to the packs: an import
// may pin them and publish a manifest that uses what was dead a moment ago. Replace notices, since every new user pins
// first, and a pinned pack or an unknown manifest stops it.
func (s *Store) compact(ctx context.Context, report *SweepReport) error {
	for {
		packs, err := s.index.Sparse(ctx, compactBatch)
		if err != nil || len(packs) == 0 {
			return err
		}
		settled, err := s.compactSome(ctx, packs, report)
		if err != nil || settled == 0 {
			return err // the rest is for the next sweep
		}
	}
}

// compactSome returns how many of the packs need not be looked at again.
func (s *Store) compactSome(ctx context.Context, packs []SparsePack, report *SweepReport) (int, error) {
	live, err := s.live(ctx, packs)
	if errors.Is(err, fs.ErrNotExist) && len(packs) > 1 {
		return s.compactEach(ctx, packs, report)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // an image was deleted since Sparse: the next sweep sees it; a manifest that is lost is Check's to tell
	}
	if err != nil {
		return 0, err
	}
	var batch rewriting
	settled := 0
	for i, p := range packs {
		size := storedBytes(live[i])
		if size*2 >= p.Size {
			if err := s.index.Keep(ctx, p); err != nil {
				return settled, err
			}
			settled++
			continue
		}
		if batch.size+size > packSize || len(batch.chunks)+len(live[i]) > packEntries {
			n, err := s.rewrite(ctx, batch, report)
			if settled += n; err != nil {
				return settled, err
			}
			batch = rewriting{}
		}
		batch.old, batch.chunks, batch.size = append(batch.old, p), append(batch.chunks, live[i]...), batch.size+size
	}
	n, err := s.rewrite(ctx, batch, report)
	return settled + n, err
}

// compactEach looks at packs one by one: a manifest that is gone holds up only those that it uses.
func (s *Store) compactEach(ctx context.Context, packs []SparsePack, report *SweepReport) (int, error) {
	settled := 0
	for i := range packs {
		n, err := s.compactSome(ctx, packs[i:i+1], report)
		if settled += n; err != nil {
			return settled, err
		}
	}
	return settled, nil
}

// rewriting is the making of one pack out of others.
type rewriting struct {
	old    []SparsePack
	chunks []Entry // of old, to be kept
	size   int64   // stored bytes of these
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
// returns how many packs are gone.
func (s *Store) rewrite(ctx context.Context, r rewriting, report *SweepReport) (int, error) {
	if len(r.old) == 0 {
		return 0, nil
	}
	name := newName(KindPack)
	if err := s.index.Reserve(ctx, name); err != nil {
		return 0, err
	}
	p, err := createPack(ctx, s.objects, name)
	if err != nil {
		return 0, err
	}
	for _, e := range r.chunks {
		err := s.copyChunk(ctx, p, e)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, p.object.Abort() // another sweep was quicker; a pack that is lost is Check's to tell
		}
		if err != nil {
			return 0, errors.Join(err, p.object.Abort())
		}
	}
	if err := p.commit(); err != nil {
		return 0, errors.Join(err, p.object.Abort())
	}
	done, err := s.index.Replace(ctx, name, p.size, p.entries, r.old)
	if err != nil || !done {
		return 0, err
	}
	report.Rewritten += len(r.old)
	report.Moved += r.size
	return len(r.old), nil
}

func (s *Store) copyChunk(ctx context.Context, to *packWriter, e Entry) error {
	stored, err := s.checked(ctx, e)
	if err != nil {
		return err
	}
	to.note(e.Digest, len(stored), int(e.Length), e.Codec)
	return to.write(stored)
}

// checked returns a chunk as it is stored, checked against its digest.
func (s *Store) checked(ctx context.Context, e Entry) ([]byte, error) {
	if !e.plausible() {
		return nil, &DamageError{Object: e.Pack, Reason: fmt.Sprintf("chunk %s is said to have %d bytes", e.Digest, e.Length)}
	}
	stored := make([]byte, e.Stored)
	if err := s.objects.ReadAt(ctx, e.Pack, stored, e.Offset); err != nil {
		return nil, err
	}
	if err := s.codecs.decode(make([]byte, e.Length), stored, e.Codec, e.Digest); err != nil {
		return nil, &DamageError{Object: e.Pack, Reason: "chunk " + e.Digest.String(), Cause: err}
	}
	return stored, nil
}
