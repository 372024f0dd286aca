package store

import (
	"context"
	"errors"
	"io/fs"
)

// search is the looking for chunks that images lack. What is found is copied, checked, into packs of this store.
type search struct {
	*check
	pack  *packWriter
	packs []string
}

// search returns the packs that it made.
func (c *check) search(ctx context.Context) ([]string, error) {
	if len(c.wanted) == 0 {
		return nil, nil
	}
	s := &search{check: c}
	err := s.elsewhere(ctx)
	if err == nil {
		err = s.here(ctx)
	}
	if err == nil {
		err = s.finish(ctx)
	}
	if err != nil && s.pack != nil {
		err = errors.Join(err, s.pack.object.Abort())
	}
	return s.packs, err
}

// elsewhere asks the other stores.
func (s *search) elsewhere(ctx context.Context) error {
	for _, other := range s.Others {
		digests := make([]Digest, 0, len(s.wanted))
		for d := range s.wanted {
			digests = append(digests, d)
		}
		for len(digests) > 0 {
			n := min(len(digests), locateAhead)
			found, err := other.index.Locate(ctx, digests[:n])
			if err != nil {
				return err
			}
			for i, l := range found {
				if l.Pack == "" {
					continue
				}
				if err := s.take(ctx, other, Entry{Digest: digests[i], Location: l}); err != nil {
					return err
				}
			}
			digests = digests[n:]
		}
	}
	return nil
}

// here looks into the tables of all packs there are: one may have a copy that the index does not know of.
func (s *search) here(ctx context.Context) error {
	for o, err := range s.objects.List(ctx, KindPack.folder()) {
		if err != nil {
			return err
		}
		if len(s.wanted) == 0 {
			return nil
		}
		if !isName(KindPack, o.Name) || s.own(o.Name) {
			continue
		}
		entries, err := readTable(objectReader{ctx, s.objects, o.Name}, o.Name, o.Size)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue // it was told by the check of packs, or a sweep takes it
		}
		for _, e := range entries {
			if _, ok := s.wanted[e.Digest]; !ok {
				continue
			}
			if err := s.take(ctx, s.Store, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) own(name string) bool { return s.pack != nil && s.pack.name == name }

// take copies a chunk from a store, if what is there is the chunk.
func (s *search) take(ctx context.Context, from *Store, e Entry) error {
	stored, _, err := from.reader(ctx, e.Pack, e.Offset+int64(e.Stored)).read(&e)
	var damage *DamageError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damage) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.pack == nil {
		if s.pack, err = s.reserve(ctx); err != nil {
			return err
		}
	}
	s.pack.note(e.Digest, len(stored), int(e.Length), e.Codec)
	delete(s.wanted, e.Digest)
	if err := s.pack.write(stored); err != nil || !s.pack.full() {
		return err
	}
	return s.finish(ctx)
}

// finish makes the pack known.
func (s *search) finish(ctx context.Context) error {
	if s.pack == nil {
		return nil
	}
	if err := s.pack.commit(); err != nil {
		return err
	}
	p := s.pack
	s.pack, s.packs = nil, append(s.packs, p.name)
	_, err := s.index.Mend(ctx, "", p.name, p.size, p.entries, 0)
	return err
}
