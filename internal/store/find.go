package store

import "context"

// findSegments is how many segments at most are asked for in one Find: about 230 chunks.
const findSegments = 8

// find learns which chunks the store has. It asks for as many segments at once as are ready, so that a slow source is
// not kept waiting and a fast one costs few transactions.
func (w *writing) find(ctx context.Context, in <-chan *segment, out chan<- *segment) error {
	batch := make([]*segment, 0, findSegments)
	return each(ctx, in, out, func(s *segment) error {
		batch = gather(append(batch[:0], s), in)
		if err := w.lookUp(ctx, batch); err != nil {
			return err
		}
		for _, s := range batch {
			if err := send(ctx, out, s); err != nil {
				return err
			}
		}
		return nil
	})
}

// gather adds what can be had without waiting.
func gather(batch []*segment, in <-chan *segment) []*segment {
	for len(batch) < cap(batch) {
		select {
		case s, ok := <-in:
			if !ok {
				return batch
			}
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// lookUp sets the state of the chunks. What is pending is settled before the index is asked: a pack's chunks leave
// pending only after the index has them, so a chunk cannot slip between.
func (w *writing) lookUp(ctx context.Context, batch []*segment) error {
	var unknown []*chunk
	var digests []Digest
	w.mu.Lock()
	for _, s := range batch {
		for i := range s.chunks {
			c := &s.chunks[i]
			if _, ok := w.pending[c.digest]; ok {
				c.state = chunkRepeated
				continue
			}
			unknown = append(unknown, c)
			digests = append(digests, c.digest)
		}
	}
	w.mu.Unlock()
	if len(unknown) == 0 {
		return nil
	}
	locations, err := w.index.Find(ctx, w.owner, digests)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range unknown {
		w.decide(c, &locations[i])
	}
	return nil
}

// decide settles what is done with a chunk that the index was asked for.
func (w *writing) decide(c *chunk, l *Location) {
	first := w.counted.add(c.digest)
	_, pending := w.pending[c.digest]
	switch {
	case l.Pack != "":
		c.state = chunkKnown
		w.packs.use(l, first)
	case pending:
		c.state = chunkRepeated
	default:
		c.state = chunkNew
		w.pending[c.digest] = struct{}{}
	}
}
