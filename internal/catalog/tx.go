package catalog

import (
	"context"
	"database/sql"
	"time"

	"ingot/internal/image"
)

// tx is one transaction. The SQL given to it is the text for both engines: placeholders are $1, $2, … and words in
// double braces stand for what the engines spell differently (see dialect.go).
type tx struct {
	sql *sql.Tx
	d   *dialect

	narrow bool  // only was called
	whose  scope // by it
}

// only says that the transaction changes what one account sees, or nobody, and nothing that others may see. Without it
// everybody's kept view is forgotten, which is always right; so it is after two calls that differ.
func (t *tx) only(s scope) {
	if t.narrow && t.whose != s {
		s = everybody
	}
	t.narrow, t.whose = true, s
}

// scope is whose view the transaction changes.
func (t *tx) scope() scope {
	if !t.narrow {
		return everybody
	}
	return t.whose
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.sql.ExecContext(ctx, t.d.text(query), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a query; the caller closes the rows.
func (t *tx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.sql.QueryContext(ctx, t.d.text(query), args...)
}

// row runs a query of at most one row; Scan returns sql.ErrNoRows where there is none.
func (t *tx) row(ctx context.Context, query string, args ...any) *sql.Row {
	return t.sql.QueryRowContext(ctx, t.d.text(query), args...)
}

// each calls scan for every row of a query.
func (t *tx) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := t.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// read runs fn in a transaction that sees one state of the database and changes nothing.
func (c *Catalog) read(ctx context.Context, fn func(*tx) error) error {
	return c.attempt(ctx, c.readers, &sql.TxOptions{ReadOnly: true, Isolation: c.d.readLevel}, fn)
}

// write runs fn in a transaction whose changes are durable when write returns nil. fn is run again where the engine
// gave up the transaction for the sake of another, so it must do nothing but speak to the database, and must set its
// results anew each time.
//
// SQLite has one writer at a time. PostgreSQL runs writers side by side at READ COMMITTED: fn first locks the row
// that what it decides rests on, always in this order: the account (lockAccount), its import (holdLease), the rest.
func (c *Catalog) write(ctx context.Context, fn func(*tx) error) error {
	var err error
	for n := range c.d.tries {
		if c.cache != nil {
			err = c.writeWatched(ctx, fn)
		} else {
			err = c.attempt(ctx, c.writer, nil, fn)
		}
		if err == nil || !c.d.conflict(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(n+1) * 10 * time.Millisecond):
		}
	}
	return &image.Error{Kind: image.Busy, Message: "The service is busy; try again shortly.", Cause: err}
}

// writeAside is write for what requests never read from what is kept: leases, progress, the chunk index.
func (c *Catalog) writeAside(ctx context.Context, fn func(*tx) error) error {
	return c.write(ctx, func(t *tx) error {
		t.only(nobody)
		return fn(t)
	})
}

// attempt runs fn in a transaction once. A database that cannot be asked is a Busy error as long as it is certain that
// nothing was done: who is told so asks again. What a commit of changes that got no answer has done, nobody knows.
func (c *Catalog) attempt(ctx context.Context, db *sql.DB, opt *sql.TxOptions, fn func(*tx) error) error {
	t, err := db.BeginTx(ctx, opt)
	if err != nil {
		return c.undone(ctx, err)
	}
	defer t.Rollback() // does nothing after Commit
	if err := fn(&tx{sql: t, d: c.d}); err != nil {
		return c.undone(ctx, err)
	}
	err = t.Commit()
	if opt != nil && opt.ReadOnly {
		return c.undone(ctx, err)
	}
	return err
}

// undone returns the error of a transaction that has certainly changed nothing.
func (c *Catalog) undone(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || !c.d.lost(err) {
		return err
	}
	return &image.Error{Kind: image.Busy, Message: "The database does not answer; try again shortly.", Cause: err}
}
