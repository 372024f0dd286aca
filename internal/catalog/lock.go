package catalog

import (
	"context"
	"database/sql"
	"errors"

	"ingot/internal/image"
)

// holdLease returns image.ErrLeaseLost unless the import is running under this lease, and keeps it so until the
// transaction ends.
func holdLease(ctx context.Context, t *tx, importID int64, lease string) error {
	var one int
	err := t.row(ctx, `SELECT 1 FROM import WHERE image_id = $1 AND lease = $2 AND state = 'running' {{for update}}`,
		importID, lease).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return image.ErrLeaseLost
	}
	return err
}
