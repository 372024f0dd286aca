package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A write compresses lightly (CodecS2), so that an image is available as soon as it can be. Settling makes of each such
// pack one with the same chunks compressed well (CodecZstd), when there is time.

// UnsettledPack is a pack with chunks that are compressed lightly.
type UnsettledPack struct {
	Name   string
	Size   int64
	Chunks []Entry // all that the index locates in it, in the order of their bytes
}

// SettleIndex is what settling needs of the chunk index, besides Reserve.
type SettleIndex interface {
	// ClaimUnsettled gives out a pack that nobody pins and no backup names, for some minutes to nobody else; nil if there
	// is none. With idle there is none either while an import or a copy runs, in whatever process.
	ClaimUnsettled(ctx context.Context, idle bool) (*UnsettledPack, error)

	// PutOff ends the claim on a pack; it is given to nobody for a while.
	PutOff(ctx context.Context, pack string, during time.Duration) error

	// Settle makes a durable pack known in place of one with the same chunks, in one transaction, and marks the old bytes
	// dead. It costs the same however many manifests rely on the pack, but for their figures: they refer to the pack, not to
	// its object. If since the claim the old pack was pinned, rewritten or deleted, or a backup has begun, it changes
	// nothing, marks the new pack dead and returns false.
	Settle(ctx context.Context, pack string, size int64, entries []Entry, old UnsettledPack) (bool, error)
}

// SettleOptions say how much may be done.
type SettleOptions struct {
	Idle    bool // end as soon as an import or a copy runs anywhere
	Workers int  // packs at once, 1 if less; each takes 6 MB
}

// SettleReport is what a settling did; bytes are those of the packs that were settled.
type SettleReport struct {
	Packs         int
	Before, After int64
}

// damagedFor is how long a pack that cannot be read is left alone.
const damagedFor = 24 * time.Hour

// Settle settles packs until there is none left. It may run at any time, beside anything, in several processes. When
// ctx ends, what is under way is given up within a chunk's time, and taken up by whoever settles next. A pack that
// cannot be read is left to Check, and is part of the error; the others are settled.
func (s *Store) Settle(ctx context.Context, opt SettleOptions) (SettleReport, error) {
	if opt.Workers <= 1 { // on the caller's own thread, which may be one of low priority
		var report SettleReport
		err := s.settleAll(ctx, opt.Idle, &report)
		return report, err
	}
	reports := make([]SettleReport, opt.Workers)
	g, ctx := newGroup(ctx)
	for i := range reports {
		g.Go(func() error { return s.settleAll(ctx, opt.Idle, &reports[i]) })
	}
	err := g.Wait()
	var total SettleReport
	for _, r := range reports {
		total.Add(r)
	}
	return total, err
}

// Add adds up reports.
func (r *SettleReport) Add(o SettleReport) {
	r.Packs += o.Packs
	r.Before += o.Before
	r.After += o.After
}

// settleAll settles one pack after the other, and has the old bytes deleted at once, so that a store that is settled
// needs no more room than one pack beside itself.
func (s *Store) settleAll(ctx context.Context, idle bool, report *SettleReport) error {
	var failed []error
	for {
		pack, err := s.index.ClaimUnsettled(ctx, idle)
		if err != nil || pack == nil {
			return errors.Join(append(failed, err)...)
		}
		size, err := s.settle(ctx, *pack)
		damage := (*DamageError)(nil)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !s.located(ctx, pack.Name):
			err = nil // deleted since
		case errors.As(err, &damage), errors.Is(err, fs.ErrNotExist):
			failed = append(failed, fmt.Errorf("settling pack %s: %w", pack.Name, err))
			err = s.index.PutOff(ctx, pack.Name, damagedFor)
		case err != nil:
			err = errors.Join(err, s.index.PutOff(context.WithoutCancel(ctx), pack.Name, 0))
		case size > 0:
			report.Add(SettleReport{Packs: 1, Before: pack.Size, After: size})
			err = s.delete(ctx, new(SweepReport))
		}
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
}

// located says whether the index locates anything in a pack.
func (s *Store) located(ctx context.Context, pack string) bool {
	chunks, err := s.index.PackChunks(ctx, pack)
	return err != nil || len(chunks) > 0
}

// settle writes the pack anew and returns its new size, 0 if it changed hands meanwhile.
func (s *Store) settle(ctx context.Context, old UnsettledPack) (int64, error) {
	p, err := s.reserve(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.recompress(ctx, p, old); err != nil {
		return 0, errors.Join(err, p.object.Abort())
	}
	if err := p.commit(); err != nil {
		return 0, errors.Join(err, p.object.Abort())
	}
	done, err := s.index.Settle(ctx, p.name, p.size, p.entries, old)
	if err != nil || !done {
		return 0, err
	}
	return p.size, nil
}

// settleWrite is how many bytes are gathered before they are written.
const settleWrite = 1 << 20

// recompress fills a pack with the chunks of another, each checked.
func (s *Store) recompress(ctx context.Context, p *packWriter, old UnsettledPack) error {
	r := s.reader(ctx, old.Name, old.Size)
	out := make([]byte, 0, settleWrite+maxChunk+maxChunk/8)
	for i := range old.Chunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &old.Chunks[i]
		_, chunk, err := r.read(e)
		if err != nil {
			return err
		}
		at := len(out)
		var codec Codec
		out, codec = s.codecs.encode(out, chunk)
		p.note(e.Digest, len(out)-at, int(e.Length), codec)
		if len(out) >= settleWrite {
			if err := p.write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return p.write(out)
}
