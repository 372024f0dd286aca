package catalog

import (
	"context"
	"database/sql"
	"errors"

	"ingot/internal/image"
)

// holding is what an account may hold and holds.
type holding struct {
	max                   image.Quota
	images, bytes, queued int64
	running               int64
}

// lockAccount returns what the account holds, and keeps everybody else from changing anything of the account until the
// transaction ends.
func lockAccount(ctx context.Context, t *tx, account int64) (holding, error) {
	var h holding
	err := t.row(ctx, `SELECT max_images, max_bytes, max_imports, images, bytes, queued, running
		FROM quota WHERE account_id = $1 {{for update}}`, account).
		Scan(&h.max.Images, &h.max.Bytes, &h.max.Imports, &h.images, &h.bytes, &h.queued, &h.running)
	if errors.Is(err, sql.ErrNoRows) {
		return h, image.ErrNotFound
	}
	return h, err
}

// change is what a transaction adds to what an account holds.
type change struct {
	images, bytes, queued, running int64
}

func (ch change) apply(ctx context.Context, t *tx, account int64) error {
	_, err := t.exec(ctx, `UPDATE quota SET images = images + $1, bytes = bytes + $2, queued = queued + $3,
		running = running + $4 WHERE account_id = $5`, ch.images, ch.bytes, ch.queued, ch.running, account)
	return err
}

// holdLease returns image.ErrLeaseLost unless the job is running under this lease, and keeps it so until the
// transaction ends.
func holdLease(ctx context.Context, t *tx, job int64, lease string) error {
	return checkLease(ctx, t, job, lease, ` {{for update}}`)
}

// checkLease looks for the job where jobs of its kind are: imports have the ids of their images, replications the
// negative ids of their actions.
func checkLease(ctx context.Context, t *tx, job int64, lease, lock string) error {
	query, key := `SELECT 1 FROM import WHERE image_id = $1 AND lease = $2 AND state = 'running'`, job
	if job < 0 {
		query, key = `SELECT 1 FROM replication WHERE action_id = $1 AND lease = $2 AND state = 'running'`, -job
	}
	var one int
	err := t.row(ctx, query+lock, key, lease).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return image.ErrLeaseLost
	}
	return err
}
