package catalog

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"
)

// maxStale is how long a read may go on without what another process wrote: a command beside the service, such as
// `ingot token revoke`. What this process wrote is seen at once.
const maxStale = 2 * time.Millisecond

// watch notices the commits of other processes to a SQLite database. The connection that this process writes by tells
// whether others have committed since it was asked last (PRAGMA data_version), and does not count its own commits.
// While it is in a transaction nobody else can commit, and when one begins it is asked.
type watch struct {
	turn  chan struct{} // held by who uses the connection for writing
	holds atomic.Bool   // in a transaction: nobody else can commit

	conn    any   // the driver's, asked last; guarded by turn, as version
	version int64 // as it was then

	asking  sync.Mutex
	asked   atomic.Int64 // when the connection was asked last, since began
	started time.Time
}

func newWatch() *watch {
	w := &watch{turn: make(chan struct{}, 1), started: time.Now()}
	w.asked.Store(-int64(maxStale))
	return w
}

func (w *watch) recent() bool {
	return w.holds.Load() || time.Since(w.started)-time.Duration(w.asked.Load()) < maxStale
}

// fresh reports whether what is kept can be trusted, and forgets it first where another process has written. It is
// false while a transaction of this process waits for another's to end: then the database itself must be asked.
func (c *Catalog) fresh(ctx context.Context) bool {
	w := c.watch
	if w.recent() {
		return true
	}
	w.asking.Lock()
	defer w.asking.Unlock()
	if w.recent() {
		return true
	}
	select {
	case w.turn <- struct{}{}:
	default:
		return w.holds.Load()
	}
	defer func() { <-w.turn }()
	ctx = context.WithoutCancel(ctx) // it takes microseconds, and a cancelled one would cost the connection
	conn, err := c.writer.Conn(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	return c.ask(ctx, conn, conn.QueryRowContext) == nil
}

// ask asks the connection for writing whether others have committed. A connection that was not asked before knows
// nothing of what was before it.
func (c *Catalog) ask(ctx context.Context, conn *sql.Conn, query func(context.Context, string, ...any) *sql.Row) error {
	w := c.watch
	at := time.Since(w.started)
	var driver any
	if err := conn.Raw(func(d any) error { driver = d; return nil }); err != nil {
		return err
	}
	var version int64
	if err := query(ctx, "PRAGMA data_version").Scan(&version); err != nil {
		return err
	}
	if driver != w.conn || version != w.version {
		c.cache.forget()
		w.conn, w.version = driver, version
	}
	w.asked.Store(int64(at))
	return nil
}

// writeWatched is a write transaction on SQLite, with what it means for the cache.
func (c *Catalog) writeWatched(ctx context.Context, fn func(*tx) error) error {
	w := c.watch
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.turn }()
	conn, err := c.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	begun, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer begun.Rollback() // does nothing after Commit
	if err := c.ask(ctx, conn, begun.QueryRowContext); err != nil {
		return err
	}
	w.holds.Store(true)
	defer w.holds.Store(false)
	t := &tx{sql: begun, d: c.d}
	if err := fn(t); err != nil {
		return err
	}
	until := time.Since(w.started)
	defer c.cache.changing(t.scope())()
	err = begun.Commit()
	if err == nil {
		w.asked.Store(int64(until)) // up to here nobody else can have committed
	}
	return err
}
