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

	"ingot/internal/refusal"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema of a database up to date, and returns its version before and after.
func Migrate(ctx context.Context, url string) (before, after int64, err error) {
	c, err := connect(url, Options{Readers: 2})
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		return 0, 0, unreachable(url, err)
	}
	s, err := openSchema(ctx, c.writer, c.d)
	if err != nil || s.current >= s.known {
		return s.current, s.current, explained(url, err)
	}
	return s.current, s.known, explained(url, s.upgrade(ctx))
}

// schema is the version that a database has, and the one that this binary was built for.
type schema struct {
	provider       *goose.Provider
	current, known int64
}

// openSchema refuses a database that a newer ingot has changed so that this one cannot work on it.
func openSchema(ctx context.Context, db *sql.DB, d *dialect) (schema, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return schema{}, err
	}
	opts := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.shared {
		// Several processes may start at once.
		l, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return schema{}, err
		}
		opts = append(opts, goose.WithSessionLocker(l))
	}
	s := schema{}
	if s.provider, err = goose.NewProvider(d.goose, db, translated{files, d}, opts...); err != nil {
		return s, err
	}
	if s.current, s.known, err = s.provider.GetVersions(ctx); err != nil {
		return s, fmt.Errorf("the database's schema: %w", err)
	}
	if s.current <= s.known {
		return s, nil
	}
	oldest, err := oldestFor(ctx, db)
	if err != nil {
		return s, err
	}
	return s, s.fits(oldest)
}

// oldestFor returns the oldest schema whose binary can work on the database.
func oldestFor(ctx context.Context, db *sql.DB) (oldest int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT oldest FROM compatible`).Scan(&oldest)
	if err != nil {
		err = fmt.Errorf("the database's schema: %w", err)
	}
	return oldest, err
}

// fits returns an error unless a binary of schema known can work on one of schema current. The rule: migrations add,
// and a binary works on every newer schema that was made by adding alone; one that takes away says so in the table
// compatible, and comes a release after the last binary that needs what it takes.
func (s schema) fits(oldest int64) error {
	if oldest <= s.known {
		return nil
	}
	return refusal.New("database_newer", "The database's schema is version %d, and this ingot knows %d and can work on none that was made for "+
		"newer ones alone: start the ingot that wrote it or a newer one, or restore the backup that was taken before the upgrade.", s.current, s.known)
}

// Compatible returns an error once a newer ingot has changed the database so that this one can no longer work on it.
func (c *Catalog) Compatible(ctx context.Context) error {
	oldest, err := oldestFor(ctx, c.readers)
	if err != nil || oldest <= c.schema {
		return err
	}
	s := schema{known: c.schema}
	if err := c.readers.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version`).Scan(&s.current); err != nil {
		return err
	}
	return s.fits(oldest)
}

func (c *Catalog) migrate(ctx context.Context, refuseOlder bool) error {
	s, err := openSchema(ctx, c.writer, c.d)
	if err != nil {
		return err
	}
	c.schema = s.known
	switch {
	case s.current > s.known:
		c.log.InfoContext(ctx, "the database's schema is newer than this ingot, which can work on it", "schema", s.current, "known", s.known)
		return nil
	case s.current == s.known:
		return nil
	case refuseOlder:
		return refusal.New("database_older", "The database's schema is version %d and this ingot needs %d. Run: ingot migrate "+
			"(with the same --database or --data)", s.current, s.known)
	}
	return s.upgrade(ctx)
}

// upgrade applies what is missing. On SQLite another process may do the same at this moment (a command beside the
// service): the one that comes second finds the work done.
func (s schema) upgrade(ctx context.Context) error {
	const tries = 5
	var err error
	for n := range tries {
		if n > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(200 * time.Millisecond):
			}
		}
		if _, err = s.provider.Up(ctx); err == nil {
			return nil
		}
		if pending, e := s.provider.HasPending(ctx); e == nil && !pending {
			return nil
		}
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
