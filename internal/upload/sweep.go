package upload

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// Ended knows which uploads are over.
type Ended interface {
	EndExpiredUploads(ctx context.Context) error
	DeadUploads(ctx context.Context) ([]string, error)
	ForgetUpload(ctx context.Context, id string) error
}

// Sweep ends what nobody has used for long, and deletes the files of what has ended. A crash between leaves rows that
// the next sweep finds.
func (u *Uploads) Sweep(ctx context.Context) error {
	if err := u.catalog.EndExpiredUploads(ctx); err != nil {
		return err
	}
	ids, err := u.catalog.DeadUploads(ctx)
	for _, id := range ids {
		err = errors.Join(err, u.bury(ctx, id))
	}
	return err
}

// bury deletes the files of an upload that has ended, and then its row.
func (u *Uploads) bury(ctx context.Context, id string) error {
	var failed []error
	for _, suffix := range []string{"", ".info", ".check", askSuffix} { // .info: of uploads that an older Ingot took
		if err := os.Remove(u.path(id) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return u.catalog.ForgetUpload(ctx, id)
}
