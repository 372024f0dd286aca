package catalog

import (
	"strings"
	"testing"

	"ingot/internal/catalog/pgtest"
)

// Each reason why a database cannot be used says what to do, and none names the password.
func TestPostgresRefuses(t *testing.T) {
	server := pgtest.Start(t)
	server.Do(t, "postgres", "CREATE ROLE "+pgtest.Locked+" LOGIN PASSWORD 'k0rrekt'")
	server.Do(t, "postgres", "CREATE DATABASE there")
	for _, test := range []struct{ url, code, want string }{
		{server.URL(pgtest.Locked+":s3cret", "there"), "database_denied", "user and the password"},
		{server.URL(pgtest.Locked, "there"), "database_denied", "user and the password"},
		{server.URL("nobody", "there"), "database_denied", "user nobody"},
		{server.URL(pgtest.Locked+":k0rrekt", "absent"), "database_missing", "createdb"},
		{server.URL(pgtest.Locked+":k0rrekt", "there"), "database_rights", "GRANT CREATE"},
		{"postgres://ingot:s3cret@127.0.0.1:1/there", "database_unreachable", "pg_isready -h 127.0.0.1 -p 1"},
		{"postgres://ingot:s3cret@no-such-host.invalid/there", "database_unreachable", "no-such-host.invalid"},
		{"postgres://ingot:s3cret@/there?host=/no/such/folder", "database_unreachable", "no such file"},
	} {
		_, err := Open(t.Context(), test.url, Options{})
		if refusalCode(err) != test.code || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\nwant %s, %q", test.url, err, test.code, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "k0rrekt")) {
			t.Errorf("%s: the password is told: %v", test.url, err)
		}
	}
}
