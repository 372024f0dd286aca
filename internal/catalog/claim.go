package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// maxDelay is the longest that Retry puts off an import. One that waits longer than this was put off before the clock
// went back, and is ready.
const maxDelay = time.Hour

const (
	// ready is true for a queued import whose time has come; $1 is maxDelay in milliseconds.
	ready = `(not_before <= {{now}} OR not_before > {{now}} + $1)`

	// leaseOver is true for a lease that ran out, and for one that ends later than any lease can since the clock went
	// back: its worker, if it lives, has not renewed it since.
	leaseOver = `(lease_until < {{now}} OR lease_until > {{now}} + 2 * lease_ms)`
)

// Claim gives the worker an import to run, or nil where none waits. Accounts take turns: that with the fewest running
// imports is served first, within its quota, and the oldest import within it. An import whose lease ran out waits
// again, and counts as broken, not as an attempt.
func (c *Catalog) Claim(ctx context.Context, worker string, lease time.Duration) (*image.Claim, error) {
	if err := c.takeBack(ctx); err != nil {
		return nil, err
	}
	for {
		account, err := c.nextAccount(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		claim, err := c.claimOf(ctx, account, worker, lease)
		if claim != nil || err != nil {
			return claim, err
		}
		// Another worker was faster; what it left is looked at anew.
	}
}

// takeBack queues again what dead workers left.
func (c *Catalog) takeBack(ctx context.Context) error {
	type job struct{ id, account int64 }
	var left []job
	err := c.read(ctx, func(t *tx) error {
		left = nil
		return t.each(ctx, `SELECT image_id, account_id FROM import WHERE state = 'running' AND `+leaseOver, nil,
			func(rows *sql.Rows) error {
				var j job
				err := rows.Scan(&j.id, &j.account)
				left = append(left, j)
				return err
			})
	})
	if err != nil {
		return err
	}
	for _, j := range left {
		err := c.write(ctx, func(t *tx) error { return requeueBroken(ctx, t, j.account, j.id, leaseOver) })
		if err != nil {
			return err
		}
	}
	return nil
}

func requeueBroken(ctx context.Context, t *tx, account, id int64, condition string) error {
	if _, err := lockAccount(ctx, t, account); err != nil {
		return err
	}
	n, err := t.exec(ctx, `UPDATE import SET state = 'queued', lease = '', broken = broken + 1, progress = '{}',
		not_before = 0, updated_at = {{now}} WHERE image_id = $1 AND state = 'running' AND `+condition, id)
	if err != nil || n == 0 {
		return err
	}
	return change{queued: 1, running: -1}.apply(ctx, t, account)
}

func (c *Catalog) nextAccount(ctx context.Context) (account int64, err error) {
	err = c.read(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT account_id FROM (
				SELECT q.account_id, q.running, (
					SELECT j.image_id FROM import j
					WHERE j.account_id = q.account_id AND j.state = 'queued' AND `+ready+`
					ORDER BY j.image_id LIMIT 1) AS oldest
				FROM quota q WHERE q.queued > 0 AND (q.max_imports = 0 OR q.running < q.max_imports)) AS waiting
			WHERE oldest IS NOT NULL ORDER BY running, oldest LIMIT 1`, maxDelay.Milliseconds()).Scan(&account)
	})
	return account, err
}

// claimOf gives out the oldest import of an account; nil if it has none to give any more.
func (c *Catalog) claimOf(ctx context.Context, account int64, worker string, lease time.Duration) (*image.Claim, error) {
	var out *image.Claim
	err := c.write(ctx, func(t *tx) error {
		out = nil
		t.only(scope(account))
		h, err := lockAccount(ctx, t, account)
		if err != nil || h.max.Imports > 0 && h.running >= h.max.Imports {
			return err
		}
		claim := image.Claim{AccountID: account, Lease: rand.Text(), Worker: worker}
		err = t.row(ctx, `UPDATE import SET state = 'running', lease = $2, lease_ms = $3, lease_until = {{now}} + $3,
				worker = $4, progress = '{}', updated_at = {{now}},
				started_at = CASE WHEN started_at = 0 THEN {{now}} ELSE started_at END
			WHERE image_id = (SELECT image_id FROM import WHERE account_id = $5 AND state = 'queued' AND `+ready+`
				ORDER BY image_id LIMIT 1)
			RETURNING image_id, region, url, attempts + 1, broken`,
			maxDelay.Milliseconds(), claim.Lease, lease.Milliseconds(), worker, account).
			Scan(&claim.ImageID, &claim.Region, &claim.URL, &claim.Attempt, &claim.Broken)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE image SET status = $1 WHERE id = $2`, image.Pending, claim.ImageID)
		if err != nil {
			return err
		}
		out = &claim
		return change{queued: -1, running: 1}.apply(ctx, t, account)
	})
	return out, err
}

// Renew makes the lease of a claim last this much longer from now.
func (c *Catalog) Renew(ctx context.Context, claim image.Claim, lease time.Duration) error {
	return c.fenced(ctx, `UPDATE import SET lease_ms = $3, lease_until = {{now}} + $3
		WHERE image_id = $1 AND lease = $2 AND state = 'running'`, claim.ImageID, claim.Lease, lease.Milliseconds())
}

// Report keeps how far an import is. Where the account may not hold the data that it has by now, that is a *refusal.Error:
// the rest need not come.
func (c *Catalog) Report(ctx context.Context, claim image.Claim, p image.Progress) error {
	text, err := encodeProgress(p)
	if err != nil {
		return err
	}
	err = c.fenced(ctx, `UPDATE import SET progress = $3, updated_at = {{now}}
		WHERE image_id = $1 AND lease = $2 AND state = 'running'`, claim.ImageID, claim.Lease, text)
	if err != nil {
		return err
	}
	return c.read(ctx, func(t *tx) error { return hasRoomFor(ctx, t, claim, p.DataBytes) })
}

// hasRoomFor returns a *refusal.Error if the account may not hold so many bytes more. An upload's own go when they are imported.
func hasRoomFor(ctx context.Context, t *tx, claim image.Claim, bytes int64) error {
	var most, held, uploaded int64
	err := t.row(ctx, `SELECT max_bytes, bytes FROM quota WHERE account_id = $1`, claim.AccountID).Scan(&most, &held)
	if id, ok := image.UploadID(claim.URL); ok && err == nil {
		err = t.row(ctx, `SELECT coalesce(sum(size), 0) FROM upload WHERE id = $1 AND account_id = $2 AND NOT dead`, id, claim.AccountID).Scan(&uploaded)
	}
	if err != nil || most == 0 || held-uploaded+bytes <= most {
		return err
	}
	return refusal.New("quota_bytes", "The image holds %d bytes of data or more; with it the account would hold %d and "+
		"may hold at most %d. Delete an image first, or ask for a larger quota.", bytes, held-uploaded+bytes, most)
}

// fenced runs an UPDATE that changes a row only under a valid lease.
func (c *Catalog) fenced(ctx context.Context, update string, args ...any) error {
	return c.writeAside(ctx, func(t *tx) error {
		n, err := t.exec(ctx, update, args...)
		if err == nil && n == 0 {
			return image.ErrLeaseLost
		}
		return err
	})
}

// ReleaseAll queues every running import and every running transfer again. It is for the start of the one process that owns the database: whoever
// ran them is dead.
func (c *Catalog) ReleaseAll(ctx context.Context) error {
	return c.write(ctx, func(t *tx) error {
		jobs := map[int64]int64{}
		err := t.each(ctx, `SELECT image_id, account_id FROM import WHERE state = 'running'`, nil, func(rows *sql.Rows) error {
			var id, account int64
			err := rows.Scan(&id, &account)
			jobs[id] = account
			return err
		})
		if err != nil {
			return err
		}
		for id, account := range jobs {
			if err := requeueBroken(ctx, t, account, id, `TRUE`); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, requeueReplications+`TRUE`)
		return err
	})
}
