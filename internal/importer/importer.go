// Package importer knows one import from start to end - fetch, decompress, recognise, convert, keep, publish - and
// what each failure tells the user.
package importer

import (
	"context"
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

// Importer runs imports; several may run at once.
type Importer struct {
	Source  *source.Client
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
	if err != nil {
		return i.explain(ctx, err)
	}
	m.phase(image.PhaseDone)
	return i.Catalog.Publish(ctx, c, m.progress(), written)
}

// load is the path of an import: a URL becomes durable content that nobody sees yet.
func (i *Importer) load(ctx context.Context, c image.Claim, m *meter) (store.Written, error) {
	kept, err := i.Stores(c.Region)
	if err != nil {
		return store.Written{}, err
	}
	m.phase(image.PhaseConnecting)
	body, err := i.Source.Open(ctx, c.URL)
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
	d, file, err := i.open(plain, size, m)
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
