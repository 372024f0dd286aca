package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// Replications is the queue of transfers between stores: what a queue.Runner asks of imports, for them.
type Replications struct{ c *Catalog }

// Replications returns the queue of transfers between stores.
func (c *Catalog) Replications() Replications { return Replications{c} }

// requeueReplications queues again what workers left that are dead; a condition follows.
const requeueReplications = `UPDATE replication SET state = 'queued', lease = '', broken = broken + 1, progress = '{}',
	not_before = 0, updated_at = {{now}} WHERE state = 'running' AND `

// Claim gives the worker a transfer to run, or nil where none waits. Accounts take turns: that with the fewest running
// transfers is served first, and the oldest transfer within it. One whose lease ran out waits again, and counts as
// broken, not as an attempt.
func (q Replications) Claim(ctx context.Context, worker string, lease time.Duration) (*image.Claim, error) {
	err := q.takeBack(ctx)
	for err == nil {
		var next int64
		err = q.c.read(ctx, func(t *tx) error {
			return t.row(ctx, `SELECT r.action_id FROM replication r LEFT JOIN (SELECT account_id, count(*) AS running
					FROM replication WHERE state = 'running' GROUP BY account_id) AS b ON b.account_id = r.account_id
				WHERE r.state = 'queued' AND `+ready+` ORDER BY coalesce(b.running, 0), r.action_id LIMIT 1`,
				maxDelay.Milliseconds()).Scan(&next)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			break
		}
		var claim *image.Claim
		if claim, err = q.claim(ctx, next, worker, lease); claim != nil {
			return claim, err
		}
		// Another worker was faster; what it left is looked at anew.
	}
	return nil, err
}

// takeBack looks before it writes: most of the time there is nothing.
func (q Replications) takeBack(ctx context.Context) error {
	var left bool
	err := q.c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT EXISTS (SELECT 1 FROM replication WHERE state = 'running' AND `+leaseOver+`)`).Scan(&left)
	})
	if err != nil || !left {
		return err
	}
	return q.c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, requeueReplications+leaseOver)
		return err
	})
}

// claim gives out one transfer; nil if it does not wait any more.
func (q Replications) claim(ctx context.Context, action int64, worker string, lease time.Duration) (*image.Claim, error) {
	var out *image.Claim
	err := q.c.writeAside(ctx, func(t *tx) error {
		out = nil
		claim := image.Claim{Action: action, Lease: rand.Text(), Worker: worker}
		err := t.row(ctx, `UPDATE replication SET state = 'running', lease = $2, lease_ms = $3, lease_until = {{now}} + $3,
				worker = $4, progress = '{}', updated_at = {{now}}
			WHERE action_id = $1 AND state = 'queued' RETURNING image_id, account_id, region, store_id, attempts + 1, broken`,
			action, claim.Lease, lease.Milliseconds(), worker).
			Scan(&claim.ImageID, &claim.AccountID, &claim.Region, &claim.StoreID, &claim.Attempt, &claim.Broken)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		out = &claim
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Renew makes the lease of a claim last this much longer from now.
func (q Replications) Renew(ctx context.Context, claim image.Claim, lease time.Duration) error {
	return q.c.fenced(ctx, `UPDATE replication SET lease_ms = $3, lease_until = {{now}} + $3
		WHERE action_id = $1 AND lease = $2 AND state = 'running'`, claim.Action, claim.Lease, lease.Milliseconds())
}

// Report keeps how far a transfer is.
func (q Replications) Report(ctx context.Context, claim image.Claim, p image.Progress) error {
	text, err := encodeProgress(p)
	if err != nil {
		return err
	}
	return q.c.fenced(ctx, `UPDATE replication SET progress = $3, updated_at = {{now}}
		WHERE action_id = $1 AND lease = $2 AND state = 'running'`, claim.Action, claim.Lease, text)
}

// Release hands a transfer back: it waits again at once and the attempt does not count.
func (q Replications) Release(ctx context.Context, claim image.Claim) error {
	return q.finish(ctx, claim, "queued", func(t *tx) error {
		t.only(nobody)
		_, err := t.exec(ctx, `UPDATE replication SET state = 'queued', progress = '{}', not_before = 0, updated_at = {{now}}
			WHERE action_id = $1`, claim.Action)
		return err
	})
}

// Retry ends an attempt that failed in passing, as that of an import.
func (q Replications) Retry(ctx context.Context, claim image.Claim, at time.Time, r *refusal.Error) error {
	delay := min(max(time.Until(at), 0), maxDelay)
	return q.finish(ctx, claim, "queued", func(t *tx) error {
		t.only(nobody)
		_, err := t.exec(ctx, `UPDATE replication SET state = 'queued', progress = '{}', attempts = attempts + 1,
				not_before = {{now}} + $2, error_code = $3, error_message = $4, updated_at = {{now}}
			WHERE action_id = $1`, claim.Action, delay.Milliseconds(), r.Code, r.Message)
		return err
	})
}

// Fail ends a transfer for good: its action is errored, and what it pinned is free.
func (q Replications) Fail(ctx context.Context, claim image.Claim, code, message string) error {
	return q.finish(ctx, claim, "failed", func(t *tx) error {
		t.only(nobody)
		return endReplication(ctx, t, claim.Action, "failed", image.Errored, code, message)
	})
}

// Source returns where the image is that a transfer is to copy.
func (q Replications) Source(ctx context.Context, claim image.Claim) (out image.Content, err error) {
	err = q.c.read(ctx, func(t *tx) error {
		if err := checkLease(ctx, t, claim.Job(), claim.Lease, ""); err != nil {
			return err
		}
		r, err := getImage(ctx, t, claim.ImageID)
		if err == nil {
			out, err = contentOf(ctx, t, r)
		}
		return err
	})
	return out, err
}

// Complete ends a transfer well: the image is in one more region with what was written, all of which must be durable.
func (q Replications) Complete(ctx context.Context, claim image.Claim, p image.Progress, w store.Written) error {
	text, err := encodeProgress(p)
	if err != nil {
		return err
	}
	return q.finish(ctx, claim, "done", func(t *tx) error {
		r, err := getImage(ctx, t, claim.ImageID)
		if err != nil {
			return err
		}
		if !r.Public {
			t.only(scope(claim.AccountID))
		}
		if w.Manifest.String() != r.Digest {
			return fmt.Errorf("the copy's content is %s, and image %d has %s", w.Manifest, r.ID, r.Digest)
		}
		manifest, err := publishManifest(ctx, t, claim.StoreID, owner(claim), w)
		if err != nil {
			return err
		}
		// It may be there already: the operator may have published it to another region of the store, and to this.
		_, err = t.exec(ctx, `INSERT INTO image_region (image_id, region, store_id, manifest_id) VALUES ($1, $2, $3, $4)
			ON CONFLICT (image_id, region) DO NOTHING`, r.ID, claim.Region, claim.StoreID, manifest)
		if err != nil {
			return err
		}
		if err := showRegion(ctx, t, &r, claim.Region); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE replication SET progress = $2, attempts = attempts + 1 WHERE action_id = $1`, claim.Action, text)
		if err != nil {
			return err
		}
		return endReplication(ctx, t, claim.Action, "done", image.Completed, "", "")
	})
}

// finish runs the end of a claim in one transaction, under its lease. When it is called again after it succeeded, it
// does nothing.
func (q Replications) finish(ctx context.Context, claim image.Claim, state string, fn func(*tx) error) error {
	return q.c.write(ctx, func(t *tx) error {
		if _, err := lockAccount(ctx, t, claim.AccountID); err != nil {
			return err
		}
		err := holdLease(ctx, t, claim.Job(), claim.Lease)
		if err == nil {
			return fn(t)
		}
		if !errors.Is(err, image.ErrLeaseLost) {
			return err
		}
		var finished bool
		err = t.row(ctx, `SELECT EXISTS (SELECT 1 FROM replication WHERE action_id = $1 AND lease = $2 AND state = $3)`,
			claim.Action, claim.Lease, state).Scan(&finished)
		if err == nil && !finished {
			err = image.ErrLeaseLost
		}
		return err
	})
}

func scanReplication(rows *sql.Rows) (Replication, error) {
	var r Replication
	var p progress
	var text string
	var started, completed, updated int64
	err := rows.Scan(&r.Action.ID, &r.Action.ImageID, &r.Action.Type, &r.Action.Status, &r.Action.Region, &started, &completed,
		&r.Account, &r.State, &p.Attempt, &text, &p.ErrorCode, &p.ErrorMessage, &updated)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return r, fmt.Errorf("the progress in the database cannot be read: %w", err)
	}
	r.Action.StartedAt = seconds(started)
	if completed != 0 {
		r.Action.CompletedAt = seconds(completed)
	}
	p.UpdatedAt = fromMillis(updated)
	if r.State == "queued" || r.State == "running" {
		p.Attempt++
	}
	r.Progress = image.Progress(p)
	return r, nil
}
