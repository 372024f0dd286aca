package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// copyRecords is how many records of a manifest are looked up and read at once: 8 MB at most, two or three times.
const copyRecords = 64

// Copy keeps a disk that another store has: it reads there only the chunks that this store lacks, checks each, and
// writes them as they are compressed. All else is as with Write: what it relies on is pinned for the owner before it
// relies on it, and when it returns all is durable and not seen yet. What an earlier attempt of the same owner made
// known is pinned still, so that it is not copied again. progress may be nil.
func (s *Store) Copy(ctx context.Context, owner Owner, from *Reader, progress *Progress) (Written, error) {
	if progress == nil {
		progress = new(Progress)
	}
	c := &copying{
		Store: s, owner: owner, from: from, progress: progress,
		pending: map[Digest]struct{}{},
		counted: newSeen(),
		packs:   usedPacks{},
	}
	if err := c.run(ctx); err != nil {
		if c.pack != nil {
			err = errors.Join(err, c.pack.object.Abort())
		}
		return Written{}, err
	}
	return c.written, nil
}

// copying is one Copy: one goroutine looks up and reads, another writes.
type copying struct {
	*Store   // that is written to
	owner    Owner
	from     *Reader
	progress *Progress
	counted  *seen // as in writing; the reader's own

	mu      sync.Mutex
	pending map[Digest]struct{} // chunks on their way that the index does not know yet
	packs   usedPacks

	pack    *packWriter // being filled
	written Written
}

// piling is a stretch of the manifest on its way: what is to be written of it.
type piling struct {
	parts  []carried
	end    int64 // guest offset up to which the disk is covered
	data   int64 // guest bytes of its records
	shared int64 // of them, what the store has already
}

// carried is a chunk on its way from one store to another.
type carried struct {
	Entry         // where it is in the store that is read
	stored []byte // its bytes there
}

func (c *copying) run(ctx context.Context) error {
	g, inner := newGroup(ctx)
	piles := make(chan *piling)
	g.Go(func() error {
		if err := c.read(inner, piles); err != nil {
			return err
		}
		close(piles)
		return nil
	})
	g.Go(func() error { return c.write(inner, piles) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := c.copyManifest(ctx); err != nil {
		return err
	}
	root := c.from.root
	c.progress.GuestBytes.Store(root.guestSize)
	c.written.Manifest, c.written.GuestSize, c.written.DataBytes, c.written.Packs = root.digest, root.guestSize, root.dataBytes, c.packs
	return nil
}

// read walks the manifest.
func (c *copying) read(ctx context.Context, out chan<- *piling) error {
	for i := range c.from.root.first {
		records, err := c.from.root.readBlock(c.from.object, i)
		if err != nil {
			return c.from.damage(err)
		}
		for some := range slices.Chunk(records, copyRecords) {
			p := &piling{end: some[len(some)-1].end()}
			if err := c.lookUp(ctx, p, some); err != nil {
				return err
			}
			if err := c.fetch(ctx, p.parts); err != nil {
				return err
			}
			if err := send(ctx, out, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookUp learns which chunks the store lacks. As in a write, chunks leave pending only after the index has them, so
// that none can slip between.
func (c *copying) lookUp(ctx context.Context, p *piling, records []record) error {
	var ask []*record
	var digests []Digest
	c.mu.Lock()
	for i := range records {
		r := &records[i]
		p.data += int64(r.n)
		if _, ok := c.pending[r.digest]; ok {
			p.shared += int64(r.n)
			continue
		}
		ask, digests = append(ask, r), append(digests, r.digest)
	}
	c.mu.Unlock()
	if len(ask) == 0 {
		return nil
	}
	found, err := c.index.Find(ctx, c.owner, digests)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range ask {
		if c.decide(r, &found[i]) {
			p.parts = append(p.parts, carried{Entry: Entry{Digest: r.digest, Location: Location{Length: r.n}}})
			continue
		}
		p.shared += int64(r.n)
	}
	return nil
}

// decide says whether a chunk must be copied, of which the index says where it is.
func (c *copying) decide(r *record, l *Location) bool {
	first := c.counted.add(r.digest)
	if l.Pack != "" {
		c.packs.use(l, first)
		return false
	}
	_, pending := c.pending[r.digest]
	c.pending[r.digest] = struct{}{}
	return !pending
}

// fetch fills the parts from the store that is read. Those that follow one another in a pack are read together.
func (c *copying) fetch(ctx context.Context, parts []carried) error {
	if len(parts) == 0 {
		return nil
	}
	if err := c.locate(ctx, parts); err != nil {
		return err
	}
	g, ctx := newGroup(ctx)
	g.SetLimit(2 * c.workers) // a read may wait for a network
	for len(parts) > 0 {
		n := together(parts)
		some := parts[:n]
		parts = parts[n:]
		g.Go(func() error { return c.fetchTogether(ctx, some) })
	}
	return g.Wait()
}

func (c *copying) locate(ctx context.Context, parts []carried) error {
	digests := make([]Digest, len(parts))
	for i := range parts {
		digests[i] = parts[i].Digest
	}
	found, err := c.from.store.index.Locate(ctx, digests)
	if err != nil {
		return err
	}
	for i := range parts {
		if found[i].Length != parts[i].Length || !found[i].plausible() {
			return &DamageError{Object: c.from.object.name, Reason: "chunk " + parts[i].Digest.String() + " is not in the store"}
		}
		parts[i].Location = found[i]
	}
	return nil
}

// together returns how many of the parts, at least one, follow one another in a pack and can be read in one go.
func together(parts []carried) int {
	bytes := int(parts[0].Stored)
	for i := 1; i < len(parts); i++ {
		last, next := &parts[i-1].Location, &parts[i].Location
		bytes += int(next.Stored)
		if next.Pack != last.Pack || next.Offset != last.Offset+int64(last.Stored) || bytes > fetchSize {
			return i
		}
	}
	return len(parts)
}

// fetchTogether reads parts of one pack. It may have been rewritten since it was located: then they are in others.
func (c *copying) fetchTogether(ctx context.Context, parts []carried) error {
	err := c.fetchAdjacent(ctx, parts)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := c.locate(ctx, parts); err != nil {
		return err
	}
	for i := range parts {
		err := c.fetchAdjacent(ctx, parts[i:i+1])
		if errors.Is(err, fs.ErrNotExist) {
			err = &DamageError{Object: parts[i].Pack, Reason: "the pack is gone"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) fetchAdjacent(ctx context.Context, parts []carried) error {
	first, last := &parts[0].Location, &parts[len(parts)-1].Location
	b := make([]byte, last.Offset+int64(last.Stored)-first.Offset)
	if err := c.from.store.objects.ReadAt(ctx, first.Pack, b, first.Offset); err != nil {
		return fmt.Errorf("object %s: %w", first.Pack, err)
	}
	chunk := make([]byte, maxChunk)
	for i := range parts {
		p := &parts[i]
		at := p.Offset - first.Offset
		p.stored = b[at : at+int64(p.Stored)]
		if err := c.codecs.decode(chunk[:p.Length], p.stored, p.Codec, p.Digest); err != nil {
			return &DamageError{Object: p.Pack, Reason: "chunk " + p.Digest.String(), Cause: err}
		}
	}
	return nil
}

// write puts what was read into packs, in guest order.
func (c *copying) write(ctx context.Context, in <-chan *piling) error {
	for {
		p, ok, err := receive(ctx, in)
		if err != nil {
			return err
		}
		if !ok {
			return c.finishPack(ctx)
		}
		for i := range p.parts {
			if err := c.writePart(ctx, &p.parts[i]); err != nil {
				return err
			}
		}
		c.written.SharedBytes += p.shared
		c.progress.SharedBytes.Add(p.shared)
		c.progress.DataBytes.Add(p.data)
		c.progress.GuestBytes.Store(p.end)
	}
}

func (c *copying) writePart(ctx context.Context, p *carried) error {
	if c.pack == nil {
		name := newName(KindPack)
		if err := c.index.Begin(ctx, c.owner, KindPack, name); err != nil {
			return err
		}
		var err error
		if c.pack, err = createPack(ctx, c.objects, name); err != nil {
			return err
		}
	}
	c.pack.note(p.Digest, len(p.stored), int(p.Length), p.Codec)
	if err := c.pack.write(p.stored); err != nil {
		return err
	}
	c.written.StoredBytes += int64(len(p.stored))
	c.progress.StoredBytes.Add(int64(len(p.stored)))
	if !c.pack.full() {
		return nil
	}
	return c.finishPack(ctx)
}

// finishPack makes the open pack durable, and then known.
func (c *copying) finishPack(ctx context.Context) error {
	p := c.pack
	if p == nil {
		return nil
	}
	if err := p.commit(); err != nil {
		return err
	}
	c.pack = nil
	locations, err := c.index.Add(ctx, c.owner, p.name, p.size, p.entries)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range p.entries {
		c.packs.use(&locations[i], true)
		delete(c.pending, p.entries[i].Digest)
	}
	return nil
}

// copyManifest copies the manifest.
func (c *copying) copyManifest(ctx context.Context) error {
	c.written.Object, c.written.Size = newName(KindManifest), c.from.Manifest().Size()
	if err := c.index.Begin(ctx, c.owner, KindManifest, c.written.Object); err != nil {
		return err
	}
	return c.from.Manifest().copyTo(ctx, c.objects, c.written.Object)
}
