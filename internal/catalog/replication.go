package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"ingot/internal/image"
	"ingot/internal/store"
)

// A replication is a transfer to a region whose store does not have the image: a job beside the imports, with leases as
// theirs, whose pins hold what it relies on in the store that it writes to. What it reads stays by itself: images leave
// no region, and who deletes one takes the lease of its replications first.

const unfinished = `(state = 'queued' OR state = 'running')`

// owner is by what a claim owns what it writes.
func owner(claim image.Claim) store.Owner {
	return store.Owner{Import: claim.Job(), Lease: claim.Lease}
}

// replicate queues the copying of an available image to a store that does not have it. Its account is locked.
func replicate(ctx context.Context, t *tx, r record, region string, storeID int64) (image.Action, error) {
	var a image.Action
	running, err := replicationTo(ctx, t, r.ID, region)
	if err == nil && running != 0 {
		err = invalid("The image is on its way to region %s already, by the action %d.", region, running)
	}
	if err != nil {
		return a, err
	}
	a, err = addAction(ctx, t, r.AccountID, image.Action{ImageID: r.ID, Type: image.Transfer, Status: image.InProgress, Region: region})
	if err != nil {
		return a, err
	}
	_, err = t.exec(ctx, `INSERT INTO replication (action_id, image_id, account_id, region, store_id, state, updated_at)
		VALUES ($1, $2, $3, $4, $5, 'queued', {{now}})`, a.ID, r.ID, r.AccountID, region, storeID)
	return a, err
}

// replicationTo returns the action by which an image is on its way to a region; 0: none.
func replicationTo(ctx context.Context, t *tx, id int64, region string) (action int64, err error) {
	err = t.row(ctx, `SELECT action_id FROM replication WHERE image_id = $1 AND region = $2 AND `+unfinished, id, region).Scan(&action)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return action, err
}

// notReplicating returns an Invalid error for an image that is on its way to a region.
func notReplicating(ctx context.Context, t *tx, id int64) error {
	var region string
	err := t.row(ctx, `SELECT region FROM replication WHERE image_id = $1 AND `+unfinished+` ORDER BY action_id LIMIT 1`, id).Scan(&region)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = invalid("The image is on its way to region %s; it can change hands when it is there.", region)
	}
	return err
}

// cancelReplications ends the replications of an image that is being deleted. Its account is locked.
func cancelReplications(ctx context.Context, t *tx, id int64) error {
	actions, err := ids(ctx, t, `SELECT action_id FROM replication WHERE image_id = $1 AND `+unfinished+` ORDER BY action_id {{for update}}`, id)
	if err != nil {
		return err
	}
	for _, action := range actions {
		err := endReplication(ctx, t, action, "cancelled", image.Errored, "image_deleted", "The image was deleted.")
		if err != nil {
			return err
		}
	}
	return nil
}

// endReplication ends a replication that the transaction has locked, and the action with it.
func endReplication(ctx context.Context, t *tx, action int64, state string, status image.ActionStatus, code, message string) error {
	_, err := t.exec(ctx, `UPDATE replication SET state = $2, error_code = $3, error_message = $4, updated_at = {{now}}
		WHERE action_id = $1`, action, state, code, message)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE action SET status = $2, completed_at = {{now}} WHERE id = $1`, action, status)
	if err != nil {
		return err
	}
	return releasePins(ctx, t, -action)
}

// Replication is a transfer between stores as an operator sees it.
type Replication struct {
	Action  image.Action
	Account string
	State   string // queued, running, done, failed, cancelled
	image.Progress
}

// ListReplications returns the transfers between stores that have not ended, and those that ended since, the latest
// first.
func (c *Catalog) ListReplications(ctx context.Context, since time.Duration, limit int) (all []Replication, err error) {
	err = c.read(ctx, func(t *tx) error {
		all = nil
		return t.each(ctx, `SELECT a.id, a.image_id, a.type, a.status, a.region, a.started_at, a.completed_at, n.name, r.state,
				r.attempts, r.progress, r.error_code, r.error_message, r.updated_at
			FROM replication r JOIN action a ON a.id = r.action_id JOIN account n ON n.id = a.account_id
			WHERE r.state = 'queued' OR r.state = 'running' OR a.completed_at > {{now}} - $1
			ORDER BY r.action_id DESC LIMIT $2`, []any{since.Milliseconds(), limit}, func(rows *sql.Rows) error {
			r, err := scanReplication(rows)
			all = append(all, r)
			return err
		})
	})
	return all, err
}
