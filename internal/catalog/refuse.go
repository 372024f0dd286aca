package catalog

import (
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ingot/internal/refusal"
)

// unreachable says why a database cannot be used and what to do. It names no password.
func unreachable(url string, err error) error {
	config, parsed := pgx.ParseConfig(url)
	if parsed != nil { // SQLite
		return fmt.Errorf("the database cannot be reached: %w", err)
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return refusal.Wrap(err, "database_unreachable", "The PostgreSQL server at %s does not answer (%s). Check the host and the port of --database, "+
			"that the server runs (pg_isready -h %s -p %d), and that this machine may connect to it (listen_addresses, pg_hba.conf, firewalls, sslmode).",
			address(config), innermost(err), config.Host, config.Port)
	}
	// The codes: PostgreSQL's manual, appendix A.
	switch server.Code {
	case "28P01", "28000":
		return refusal.Wrap(err, "database_denied", "The PostgreSQL server at %s does not let the user %s in. Check the user and the password of "+
			"--database (or PGPASSWORD, or ~/.pgpass), and the server's pg_hba.conf.", address(config), config.User)
	case "3D000":
		return refusal.Wrap(err, "database_missing", "The PostgreSQL server at %s has no database %s. Create it: createdb -h %s -p %d -O %s %s",
			address(config), config.Database, config.Host, config.Port, config.User, config.Database)
	case "42501":
		return refusal.Wrap(err, "database_rights", "The user %s may not make tables in the database %s. As its owner: GRANT CREATE, USAGE ON SCHEMA public TO %s; "+
			"or run ingot migrate as a user who may, and give this one what the tables need.", config.User, config.Database, config.User)
	case "53300":
		return refusal.Wrap(err, "database_full", "The PostgreSQL server at %s has no connection left. Raise max_connections, or start fewer processes; "+
			"docs/operating.md says how many connections each may have.", address(config))
	}
	return refusal.Wrap(err, "database_refused", "The PostgreSQL server at %s refuses: %s (%s).", address(config), server.Message, server.Code)
}

// explained says of an error of PostgreSQL, while the schema is looked at or changed, what to do.
func explained(url string, err error) error {
	if errors.As(err, new(*pgconn.PgError)) && refusal.As(err) == nil {
		return unreachable(url, err)
	}
	return err
}

// innermost leaves out what wraps an error: the driver's wrapping names much that does not help.
func innermost(err error) error {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if e.Unwrap() == nil {
				return err
			}
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			all := e.Unwrap()
			err = all[len(all)-1]
		default:
			return err
		}
	}
}

// address is where the server is, as a person writes it.
func address(c *pgx.ConnConfig) string {
	if network, path := pgconn.NetworkAddress(c.Host, c.Port); network == "unix" {
		return path
	}
	return net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}
