package catalog

import (
	"database/sql"
	"errors"
	"fmt"

	"ingot/internal/image"
)

// missing turns the absence of a row into image.ErrNotFound.
func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return image.ErrNotFound
	}
	return err
}

func invalid(format string, args ...any) error {
	return &image.Error{Kind: image.Invalid, Message: fmt.Sprintf(format, args...)}
}
