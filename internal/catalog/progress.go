package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ingot/internal/image"
)

// progress is image.Progress as it stands in the database: the names there do not change with those in Go.
type progress struct {
	Phase         image.Phase             `json:"phase,omitempty"`
	Attempt       int                     `json:"-"`
	BytesRead     int64                   `json:"bytes_read,omitempty"`
	BytesExpected int64                   `json:"bytes_expected,omitempty"`
	GuestBytes    int64                   `json:"guest_bytes,omitempty"`
	GuestSize     int64                   `json:"guest_size,omitempty"`
	DataBytes     int64                   `json:"data_bytes,omitempty"`
	StoredBytes   int64                   `json:"stored_bytes,omitempty"`
	SharedBytes   int64                   `json:"shared_bytes,omitempty"`
	Format        string                  `json:"format,omitempty"`
	Compression   string                  `json:"compression,omitempty"`
	SourceSHA256  string                  `json:"source_sha256,omitempty"`
	ContentDigest string                  `json:"content_digest,omitempty"`
	Seconds       map[image.Phase]float64 `json:"seconds,omitempty"`
	ErrorCode     string                  `json:"-"`
	ErrorMessage  string                  `json:"-"`
	UpdatedAt     time.Time               `json:"-"`
	StartedAt     time.Time               `json:"-"`
	FinishedAt    time.Time               `json:"-"`
}

func encodeProgress(p image.Progress) (string, error) {
	b, err := json.Marshal(progress(p))
	return string(b), err
}

// ImportProgress returns how far the import of one of the account's images is, or the report of it once it has ended.
// The error in it is that of the last attempt, which may be followed by another. Another account's image, a public one
// included, is image.ErrNotFound.
func (c *Catalog) ImportProgress(ctx context.Context, account, id int64) (image.Progress, error) {
	var out image.Progress
	err := c.read(ctx, func(t *tx) error {
		var p progress
		var state, text string
		var updated, started, finished int64
		err := t.row(ctx, `SELECT j.state, j.progress, j.attempts, j.error_code, j.error_message, j.updated_at,
				j.started_at, j.finished_at
			FROM import j JOIN image i ON i.id = j.image_id
			WHERE j.image_id = $1 AND i.account_id = $2 AND i.removed_at IS NULL`, id, account).
			Scan(&state, &text, &p.Attempt, &p.ErrorCode, &p.ErrorMessage, &updated, &started, &finished)
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return fmt.Errorf("the progress in the database cannot be read: %w", err)
		}
		p.UpdatedAt, p.StartedAt, p.FinishedAt = fromMillis(updated), fromMillis(started), fromMillis(finished)
		p.inState(state)
		out = image.Progress(p)
		return nil
	})
	return out, missing(err)
}

// inState puts right what the state of the job decides.
func (p *progress) inState(state string) {
	switch state {
	case "queued":
		p.Phase = image.PhaseQueued
		p.Attempt++
	case "running":
		p.Attempt++
		if p.Phase == "" {
			p.Phase = image.PhaseConnecting
		}
	case "done":
		p.Phase = image.PhaseDone
	case "failed":
		p.Phase = image.PhaseFailed
	}
}
