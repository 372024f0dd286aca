package ingot

import (
	"context"
	"errors"
	"net/http"
	"time"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
)

// ImportService tells how far the imports of images are.
type ImportService struct{ Options []option.RequestOption }

// Import is the progress of an import, and its report when it has ended. Counts are bytes. What is not known (yet) is
// zero.
type Import struct {
	ImageID int64       `json:"image_id"`
	Phase   ImportPhase `json:"phase"`
	// Attempt counts from 1. An interruption by a restart of the service does not count.
	Attempt int64 `json:"attempt"`
	// BytesRead and BytesExpected are the source's.
	BytesRead     int64 `json:"bytes_read"`
	BytesExpected int64 `json:"bytes_expected"`
	// GuestBytes are covered of the guest's disk, holes included; GuestSize is the whole disk.
	GuestBytes int64 `json:"guest_bytes"`
	GuestSize  int64 `json:"guest_size"`
	// DataBytes is the guest's data so far.
	DataBytes int64 `json:"data_bytes"`
	// StoredBytes were written by this import, compressed; SharedBytes of guest data were in the store before.
	StoredBytes    int64 `json:"stored_bytes"`
	SharedBytes    int64 `json:"shared_bytes"`
	BytesPerSecond int64 `json:"bytes_per_second"`
	// SecondsPerPhase has an entry for each phase that was entered.
	SecondsPerPhase map[ImportPhase]float64 `json:"seconds_per_phase"`
	Format          string                  `json:"format"`
	Compression     string                  `json:"compression"`
	// SourceSHA256 is of the file as it was downloaded.
	SourceSHA256 string `json:"source_sha256"`
	// ContentDigest is the same for the same guest content, whatever format it came in.
	ContentDigest string `json:"content_digest"`
	// Error is of the last attempt; unless Phase is failed, another may follow.
	Error      *ImportError `json:"error"`
	StartedAt  time.Time    `json:"started_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
	FinishedAt time.Time    `json:"finished_at"`
}

// ImportPhase is what an import is doing.
type ImportPhase string

// The phases, in order. Fetching is download, decompression and conversion at once.
const (
	ImportPhaseQueued     ImportPhase = "queued"
	ImportPhaseConnecting ImportPhase = "connecting"
	ImportPhaseFetching   ImportPhase = "fetching"
	ImportPhaseFinishing  ImportPhase = "finishing"
	ImportPhaseDone       ImportPhase = "done"
	ImportPhaseFailed     ImportPhase = "failed"
)

// ImportError says why an import failed.
type ImportError struct {
	Code    string `json:"code"` // stable
	Message string `json:"message"`
}

// Error returns the message.
func (e *ImportError) Error() string { return e.Message }

// ErrImageDeleted ends a stream whose image was deleted.
var ErrImageDeleted = errors.New("the image was deleted while it was being imported")

// Get retrieves the progress of an import.
func (s *ImportService) Get(ctx context.Context, imageID int64, opts ...option.RequestOption) (*Import, error) {
	path, err := importPath(imageID)
	if err != nil {
		return nil, err
	}
	answer, err := requestconfig.Answer[struct{ Import Import }](ctx, http.MethodGet, path, nil, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	return &answer.Import, nil
}

// GetStreaming follows an import to its end. Close the stream, or end ctx.
func (s *ImportService) GetStreaming(ctx context.Context, imageID int64, opts ...option.RequestOption) *ImportStream {
	return &ImportStream{ctx: ctx, imageID: imageID, opts: merged(s.Options, opts)}
}

// Wait follows an import to its end, tells progress of each change, and returns the report. An import that failed is
// an *[ImportError]. progress may be nil.
func (s *ImportService) Wait(ctx context.Context, imageID int64, progress func(*Import), opts ...option.RequestOption) (*Import, error) {
	stream := s.GetStreaming(ctx, imageID, opts...)
	defer stream.Close()
	var last Import
	for stream.Next() {
		last = stream.Current()
		if progress != nil {
			progress(&last)
		}
	}
	switch {
	case stream.Err() != nil:
		return nil, stream.Err()
	case last.Phase == ImportPhaseFailed && last.Error != nil:
		return &last, last.Error
	case last.Phase == ImportPhaseFailed:
		return &last, &ImportError{Message: "the import failed"}
	}
	return &last, nil
}

func importPath(imageID int64) (string, error) {
	id, err := requestconfig.PathInt("image_id", imageID)
	return "v2/images/" + id + "/import", err
}
