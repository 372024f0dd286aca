package importer

import (
	"context"
	"errors"
	"syscall"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// explain turns what ended an import into what its user is told. The order matters: an import that was cancelled
// failed of that, whatever its stages said as they fell.
func (i *Importer) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, image.ErrLeaseLost) {
		return image.ErrLeaseLost
	}
	if r := refusal.As(err); r != nil {
		return r
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return refusal.Passing(err, "no_space",
			"The image service has no disk space left for this image. Delete images that are not needed, or ask its operator for more space, and try again.")
	}
	return err
}

// bounded refuses a guest disk that is too large.
func (i *Importer) bounded(guest int64) error {
	if guest < i.MaxSize {
		return nil
	}
	return refusal.New("disk_too_large",
		"The disk has %d bytes as a guest sees it; it must be smaller than %d. Shrink it (qemu-img resize --shrink, after its partitions) and try again.",
		guest, i.MaxSize)
}
