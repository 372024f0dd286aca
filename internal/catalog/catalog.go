// Package catalog knows all the SQL: accounts, tokens, images, imports, tags and the chunk index, on SQLite and on
// PostgreSQL from one text.
//
// Time is the database's: every time that is stored or compared comes from the clock of the database server (with
// SQLite that is this machine's), so that processes whose clocks differ agree about leases. A clock that jumps ahead
// makes leases run out early, which costs repeated work and nothing else, since every write is fenced; one that
// jumps back is recognised by leases and delays that end impossibly late (see claim.go).
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
)

// Options are what Open may be told; the zero value will do.
type Options struct {
	// NoMigrate refuses a database whose schema is older than this binary's instead of migrating it.
	NoMigrate bool

	// Readers is how many reads may run at once; 0 means 8.
	Readers int

	// Cache is how many bytes of what was read lately may be kept in memory; 0 means 64 MiB, less than 0 none. Nothing is
	// kept on PostgreSQL.
	Cache int

	Log *slog.Logger // nil: nothing is logged
}

// Catalog is the catalogue in one database. It is safe for use by several goroutines.
type Catalog struct {
	d       *dialect
	log     *slog.Logger
	writer  *sql.DB
	readers *sql.DB // the same as writer on PostgreSQL
	cache   *cache  // nil: nothing is kept
	watch   *watch  // there if cache is
	schema  int64   // that this binary was built for
	totals  totals
	uploads string // the folder that UseUploads named
}

// Open opens the database named by url, sqlite:FILE or postgres://…, creates what is missing and brings its schema up
// to date. A schema that is newer is refused unless this binary can work on it (see migrate.go).
func Open(ctx context.Context, url string, opt Options) (*Catalog, error) {
	if opt.Readers <= 0 {
		opt.Readers = 8
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	c, err := connect(url, opt)
	if err != nil {
		return nil, err
	}
	c.log = opt.Log
	if opt.Cache == 0 {
		opt.Cache = defaultCache
	}
	if opt.Cache > 0 && !c.d.shared {
		c.cache, c.watch = newCache(opt.Cache), newWatch()
	}
	if err := c.start(ctx, url, opt); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Catalog) start(ctx context.Context, url string, opt Options) error {
	if err := c.Ping(ctx); err != nil {
		return unreachable(url, err)
	}
	return explained(url, c.migrate(ctx, opt.NoMigrate))
}

// Ping returns an error if the database does not answer.
func (c *Catalog) Ping(ctx context.Context) error {
	var one int
	return c.readers.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// Shared says whether several processes may serve this database at once.
func (c *Catalog) Shared() bool { return c.d.shared }

// Close closes the database.
func (c *Catalog) Close() error {
	if c.readers == c.writer {
		return c.writer.Close()
	}
	return errors.Join(c.readers.Close(), c.writer.Close())
}
