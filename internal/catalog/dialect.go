package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is what the two engines do differently.
type dialect struct {
	goose     goose.Dialect
	shared    bool               // several processes may serve one database
	readLevel sql.IsolationLevel // at which a transaction sees one state throughout
	words     *strings.Replacer
	conflict  func(error) bool // whether a transaction failed for the sake of another
	lost      func(error) bool // whether the database cannot be asked at the moment
	tries     int              // how often such a transaction is run
	texts     sync.Map         // a query as written -> as this engine takes it
}

// text returns a query in this engine's words.
func (d *dialect) text(query string) string {
	if !strings.Contains(query, "{{") {
		return query
	}
	if t, ok := d.texts.Load(query); ok {
		return t.(string)
	}
	t := d.words.Replace(query)
	d.texts.Store(query, t)
	return t
}

// The words, in the order SQLite, PostgreSQL:
//
//	{{serial}}         type and constraint of a primary key that is counted up and never used again
//	{{bytes}}          type of a byte string
//	{{without rowid}}  end of the CREATE TABLE of a table whose rows are little more than their key
//	{{now}}            the database's time, milliseconds since 1970; one value throughout a statement
//	{{for update}}     end of a SELECT: locks the rows read until the transaction ends
func newSQLite() *dialect {
	return &dialect{
		goose:     goose.DialectSQLite3,
		readLevel: sql.LevelDefault,
		tries:     1, // busy_timeout has waited already
		words: strings.NewReplacer(
			"{{serial}}", "INTEGER PRIMARY KEY AUTOINCREMENT",
			"{{bytes}}", "BLOB",
			"{{without rowid}}", "WITHOUT ROWID",
			"{{now}}", "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
			"{{for update}}", "",
		),
		conflict: sqliteBusy,
		lost:     sqliteBusy,
	}
}

func sqliteBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

func newPostgres() *dialect {
	return &dialect{
		goose:     goose.DialectPostgres,
		shared:    true,
		readLevel: sql.LevelRepeatableRead,
		tries:     10,
		words: strings.NewReplacer(
			"{{serial}}", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
			"{{bytes}}", "BYTEA",
			"{{without rowid}}", "",
			"{{now}}", "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)",
			"{{for update}}", "FOR UPDATE",
		),
		conflict: func(err error) bool {
			var e *pgconn.PgError
			// Serialization failure, deadlock, a lock that did not come (lock_timeout), and a pause in which the server has
			// rolled the transaction back (idle_in_transaction_session_timeout): PostgreSQL's manual, appendix A.
			return errors.As(err, &e) && slices.Contains([]string{"40001", "40P01", "55P03", "25P03"}, e.Code)
		},
		lost: postgresLost,
	}
}

// SQLiteFile returns the file of a database's URL; false if it is not one of SQLite.
func SQLiteFile(database string) (string, bool) {
	rest, ok := strings.CutPrefix(database, "sqlite:")
	return strings.TrimPrefix(rest, "//"), ok
}

// postgresLost tells that there is no connection, that it broke, or that the server gives none of its resources:
// PostgreSQL's manual, appendix A, the classes 08 and 53, and of 57 what an operator does.
func postgresLost(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return slices.ContainsFunc([]string{"08", "53", "57P"}, func(class string) bool { return strings.HasPrefix(e.Code, class) })
	}
	return errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, new(net.Error)) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}

// connect opens the pools of connections; nothing is sent to a server yet.
func connect(database string, opt Options) (*Catalog, error) {
	if file, ok := SQLiteFile(database); ok {
		return connectSQLite(file, opt)
	}
	switch scheme, _, _ := strings.Cut(database, ":"); scheme {
	case "postgres", "postgresql":
		return connectPostgres(database, opt)
	}
	return nil, errors.New("the database must be sqlite:FILE or postgres://USER:PASSWORD@HOST:PORT/NAME")
}

// connectSQLite opens one connection for writing and several for reading, which the write-ahead log keeps out of each
// other's way.
func connectSQLite(path string, opt Options) (*Catalog, error) {
	if path == "" {
		return nil, errors.New("sqlite: needs the path of a file, as in sqlite:/var/lib/ingot/ingot.db")
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("the database file: %w", err)
	}
	common := url.Values{"_pragma": {
		"busy_timeout(10000)", // another process may write too: the command line, beside the service
		"journal_mode(WAL)",
		"synchronous(FULL)", // what was acknowledged survives a power failure
		"foreign_keys(1)",
		"secure_delete(1)", // URLs and their credentials are overwritten when forgotten
	}}
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	writer, err := sql.Open("sqlite", name+"?"+common.Encode()+"&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	readers, err := sql.Open("sqlite", name+"?"+common.Encode()+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	readers.SetMaxOpenConns(opt.Readers)
	readers.SetMaxIdleConns(opt.Readers)
	return &Catalog{d: newSQLite(), writer: writer, readers: readers}, nil
}

// createPrivate makes the file where there is none: it holds URLs with credentials, so nobody else may read it. SQLite
// gives the files beside it the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Close(), folder.Sync(), folder.Close())
}

// connectTimeout bounds a connection's beginning, of each address that the server's name has. The URL's connect_timeout
// goes before it.
const connectTimeout = 10 * time.Second

func connectPostgres(database string, opt Options) (*Catalog, error) {
	config, err := pgx.ParseConfig(database)
	if err != nil {
		return nil, errors.New("the database's URL cannot be read: it must be postgres://USER:PASSWORD@HOST:PORT/NAME")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(limitWaiting(config.RuntimeParams)))
	db.SetMaxOpenConns(2 * opt.Readers)
	db.SetMaxIdleConns(opt.Readers)
	return &Catalog{d: newPostgres(), writer: db, readers: db}, nil
}

// sessionLimits are settings of every session, in milliseconds and seconds as PostgreSQL's manual (chapter 20) has them. A
// process that hangs, or whose machine is gone, between two statements or with an answer under way holds what its
// transaction has locked: an account, a job. The server ends such a transaction before the job's lease does, and nobody
// else waits for a lock much longer than that.
var sessionLimits = [...]struct{ name, value string }{
	{"idle_in_transaction_session_timeout", "10000"},
	{"lock_timeout", "12000"},
	{"tcp_user_timeout", "10000"},
	{"tcp_keepalives_idle", "10"},
	{"tcp_keepalives_interval", "5"},
	{"tcp_keepalives_count", "3"},
}

// limitWaiting sets the limits that the URL does not. They go out as statements: a pooler refuses what it does not know
// of a connection's beginning.
func limitWaiting(given map[string]string) func(context.Context, *pgx.Conn) error {
	var set strings.Builder
	for _, l := range sessionLimits {
		if _, ok := given[l.name]; !ok && !strings.Contains(given["options"], l.name) {
			fmt.Fprintf(&set, "SET %s = %s;", l.name, l.value)
		}
	}
	return func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, set.String())
		return err
	}
}
