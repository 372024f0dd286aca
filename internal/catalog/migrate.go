package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date.
func migrate(ctx context.Context, db *sql.DB, d *dialect, refuseOlder bool) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.shared {
		// Several processes may start at once.
		l, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(l))
	}
	p, err := goose.NewProvider(d.goose, db, translated{files, d}, opts...)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("the database's schema: %w", err)
	}
	switch {
	case current > target:
		return fmt.Errorf("the database's schema is version %d and this ingot knows only %d: start the ingot that "+
			"wrote it or a newer one, or restore the backup that was taken before the upgrade", current, target)
	case current < target && refuseOlder:
		return fmt.Errorf("the database's schema is version %d and this ingot needs %d: run `ingot migrate`",
			current, target)
	case current == target:
		return nil
	}
	return upgrade(ctx, p)
}

// upgrade applies what is missing. On SQLite another process may do the same at this moment (a command beside the
// service): the one that comes second finds the work done.
func upgrade(ctx context.Context, p *goose.Provider) error {
	const tries = 5
	var err error
	for range tries {
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
		if pending, e := p.HasPending(ctx); e == nil && !pending {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("the database's schema cannot be brought up to date: %w", err)
}

// translated is the folder of migrations in one engine's words.
type translated struct {
	fs.FS
	d *dialect
}

// Open returns the file, translated.
func (t translated) Open(name string) (fs.File, error) {
	f, err := t.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, err
	}
	text, err := fs.ReadFile(t.FS, name)
	if err != nil {
		return nil, err
	}
	return &translatedFile{File: f, text: bytes.NewReader([]byte(t.d.words.Replace(string(text))))}, nil
}

type translatedFile struct {
	fs.File
	text *bytes.Reader
}

func (f *translatedFile) Read(p []byte) (int, error) { return f.text.Read(p) }
