// Package importer knows one import from start to end - fetch, decompress, recognise, convert, keep, publish - and
// what each failure tells the user.
package importer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"ingot/internal/decompress"
	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/source"
	"ingot/internal/store"
)

// Catalog is where an import reports and where it ends.
type Catalog interface {
	Report(ctx context.Context, c image.Claim, p image.Progress) error
	Publish(ctx context.Context, c image.Claim, p image.Progress, w store.Written) error
}

// Uploads opens files that clients have sent.
type Uploads interface {
	// Open returns the file of an account's upload, and its size in bytes.
	Open(ctx context.Context, account int64, id string) (io.ReadCloser, int64, error)
}

// Importer runs imports; several may run at once.
type Importer struct {
	Source  *source.Client
	Uploads Uploads
	Stores  func(region string) (*store.Store, error) // the store of a region
	Catalog Catalog
	Scratch string // folder for spools
	MaxSize int64  // bytes; the decompressed file and the guest disk must both be smaller
	Log     *slog.Logger
}

// reportEvery is how often progress is written, and so how soon an import notices that its image was deleted.
const reportEvery = 500 * time.Millisecond

// Run runs one import to its end and publishes the image. A failure is returned as a *refusal.Error that is worded
// for the user; image.ErrLeaseLost and the context's cause are returned as they are.
func (i *Importer) Run(ctx context.Context, c image.Claim) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newMeter(c)
	stop := i.report(ctx, cancel, c, m)

	written, err := i.load(ctx, c, m)
	stop()
	if err == nil {
		m.phase(image.PhaseDone)
		err = i.publish(ctx, c, m.progress(), written)
	}
	if err != nil {
		return i.explain(ctx, err)
	}
	return nil
}

// publishFor is how long a publication is tried again while the database does not take it: hours of work are not
// thrown away for a database that restarts.
const publishFor = time.Minute

func (i *Importer) publish(ctx context.Context, c image.Claim, p image.Progress, w store.Written) error {
	begun := time.Now()
	for {
		err := i.Catalog.Publish(ctx, c, p, w)
		if err == nil || errors.Is(err, image.ErrLeaseLost) || refusal.As(err) != nil || time.Since(begun) > publishFor {
			return err
		}
		i.Log.Warn("image not published yet", "image", c.ImageID, "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// load is the path of an import: a URL becomes durable content that nobody sees yet.
func (i *Importer) load(ctx context.Context, c image.Claim, m *meter) (store.Written, error) {
	kept, err := i.Stores(c.Region)
	if err != nil {
		return store.Written{}, err
	}
	m.phase(image.PhaseConnecting)
	body, err := i.fetch(ctx, c)
	if err != nil {
		return store.Written{}, err
	}
	defer body.Close()
	m.reading(body)
	plain, err := decompress.NewReader(ctx, body, i.MaxSize)
	if err != nil {
		return store.Written{}, err
	}
	defer plain.Close()
	size, err := i.plainSize(plain.Compression(), body.Size())
	if err != nil {
		return store.Written{}, err
	}

	m.phase(image.PhaseFetching)
	d, file, err := i.open(plain, size, func() { body.Close() }, m)
	if err != nil {
		return store.Written{}, err
	}
	defer file.Close()
	written, err := kept.Write(ctx, store.Owner{Import: c.ImageID, Lease: c.Lease}, d, m.stored)
	if err != nil {
		return store.Written{}, err
	}
	m.phase(image.PhaseFinishing)
	if err := file.Wait(ctx); err != nil {
		return store.Written{}, err
	}
	m.finished(written, body.SHA256())
	return written, i.bounded(written.GuestSize)
}

// fetch opens what the URL names.
func (i *Importer) fetch(ctx context.Context, c image.Claim) (*source.Stream, error) {
	id, ok := image.UploadID(c.URL)
	if !ok {
		return i.Source.Open(ctx, c.URL)
	}
	file, size, err := i.Uploads.Open(ctx, c.AccountID, id)
	if err != nil {
		return nil, err
	}
	return source.Upload(file, size, c.URL)
}

// plainSize is the decompressed file's size where the source announced it, else -1. One that is too large is refused
// before the download.
func (i *Importer) plainSize(compression string, announced int64) (int64, error) {
	if compression != decompress.None || announced <= 0 {
		return -1, nil
	}
	if announced >= i.MaxSize {
		return 0, refusal.New("file_too_large",
			"The file has %d bytes; it must be smaller than %d, also after being decompressed. Convert it to a format that leaves out what is empty (qemu-img convert -O qcow2 INPUT OUTPUT.qcow2) and try again.",
			announced, i.MaxSize)
	}
	return announced, nil
}
