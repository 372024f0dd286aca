package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// deadTries is how many deletions in a row may fail before it is asked whether the place answers at all: each may take
// minutes to fail.
const deadTries = 3

// deadBatch is how many dead objects are asked for and forgotten at once.
const deadBatch = 100

// DeadObject is an object that nothing can rely on any more. ID counts up.
type DeadObject struct {
	ID   int64
	Name string
	Size int64 // 0 if it was never finished
}

// SweepIndex is what the sweep needs of the chunk index. What it may take is the index's decision, taken in one
// transaction: a pack that is pinned or named by a manifest stays. Any number of sweeps may run at once, and a sweep
// that dies is finished by the next.
type SweepIndex interface {
	// Condemn marks some of what nobody relies on as dead: objects whose writer has lost its lease, and packs that no
	// manifest names and no owner pins, whose chunks it forgets in the same transaction, so that no Find can return
	// them. It returns how many; 0 when there is nothing left.
	Condemn(ctx context.Context) (int, error)

	// Dead returns dead objects that are to be deleted now, with an ID above after, in order of ID.
	Dead(ctx context.Context, after int64, limit int) ([]DeadObject, error)

	// Forget removes dead objects that have been deleted. One whose writer may still be at work is kept for a day, to
	// be deleted again from time to time: the writer might finish it after the first deletion.
	Forget(ctx context.Context, ids []int64) error
}

// SweepReport is what a sweep did.
type SweepReport struct {
	Condemned int   // objects found that nobody relies on
	Deleted   int   // objects deleted, from earlier sweeps too
	Freed     int64 // bytes of these, where known
	Rewritten int   // packs of which the living chunks were moved elsewhere
	Moved     int64 // bytes of these chunks
}

// Sweep deletes what nobody relies on and rewrites packs that are mostly dead. It may run at any time, beside writes,
// readers and other sweeps, in any process. What it could not delete stays dead for the next sweep, and is part of
// the error.
func (s *Store) Sweep(ctx context.Context) (SweepReport, error) {
	var report SweepReport
	err := s.delete(ctx, &report)
	if err == nil {
		if err = s.compact(ctx, &report); report.Rewritten > 0 {
			err = errors.Join(err, s.delete(ctx, &report))
		}
	}
	return report, err
}

// Add adds up reports.
func (r *SweepReport) Add(o SweepReport) {
	r.Condemned += o.Condemned
	r.Deleted += o.Deleted
	r.Freed += o.Freed
	r.Rewritten += o.Rewritten
	r.Moved += o.Moved
}

// delete condemns, deletes and forgets, in that order. A crash between leaves dead objects, whole or deleted, that the
// next sweep finds.
func (s *Store) delete(ctx context.Context, report *SweepReport) error {
	for {
		n, err := s.index.Condemn(ctx)
		if err != nil {
			return err
		}
		if report.Condemned += n; n == 0 {
			break
		}
	}
	var failed []error
	inRow := 0
	for after := int64(0); ; {
		dead, err := s.index.Dead(ctx, after, deadBatch)
		if err != nil || len(dead) == 0 {
			return errors.Join(append(failed, err)...)
		}
		after = dead[len(dead)-1].ID
		var gone []int64
		for _, o := range dead {
			if err := s.objects.Delete(ctx, o.Name); err != nil {
				failed = append(failed, fmt.Errorf("object %s: %w", o.Name, err))
				if inRow++; inRow%deadTries == 0 && !s.answers(ctx) {
					return errors.Join(append(failed, s.index.Forget(ctx, gone))...)
				}
				continue
			}
			inRow = 0
			gone = append(gone, o.ID)
			report.Deleted++
			report.Freed += o.Size
		}
		if err := s.index.Forget(ctx, gone); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
}

// answers says whether the place of objects can tell that something is not there.
func (s *Store) answers(ctx context.Context) bool {
	_, err := s.objects.Stat(ctx, newName(KindPack))
	return errors.Is(err, fs.ErrNotExist)
}
