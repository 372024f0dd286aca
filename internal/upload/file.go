package upload

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/tus/tusd/v2/pkg/handler"

	"ingot/internal/image"
)

// file holds an upload's bytes. What else is known of the upload is in its row and nowhere beside the file: the
// library's own files note the path that they were made at, and are not found any more where the folder has moved.
type file struct {
	path string
	info handler.FileInfo
}

func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// openFile returns the file of an upload that a row describes.
func openFile(path string, row image.Upload) (file, error) {
	stat, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, handler.ErrNotFound
	}
	if err != nil {
		return file{}, err
	}
	return file{path, handler.FileInfo{ID: row.ID, Size: row.Size, Offset: stat.Size()}}, nil
}

func (f file) GetInfo(context.Context) (handler.FileInfo, error) { return f.info, nil }

// GetReader is never called: downloads are disabled.
func (f file) GetReader(context.Context) (io.ReadCloser, error) { return os.Open(f.path) }

// WriteChunk appends to the file and returns how many bytes it has taken, also with an error.
func (f file) WriteChunk(_ context.Context, _ int64, src io.Reader) (int64, error) {
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, src)
	return n, errors.Join(err, w.Close())
}
