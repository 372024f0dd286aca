package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

func TestOpenTwice(t *testing.T) {
	// A path may hold anything that a URL gives a meaning.
	url := "sqlite:" + filepath.Join(t.TempDir(), "a b%20?#&.db")
	for range 2 {
		c, err := Open(t.Context(), url, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Ping(t.Context()); err == nil {
			t.Error("a closed catalogue answers")
		}
	}
	info, err := os.Stat(strings.TrimPrefix(url, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v: others can read the secrets in it", info.Mode())
	}
}

func TestOpenRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"":                          "must be sqlite:FILE or postgres://",
		"mysql://x":                 "must be sqlite:FILE or postgres://",
		"sqlite:":                   "needs the path of a file",
		"sqlite:/no/such/folder/db": "no such file or directory",
		"postgres://u:secret@%zz":   "cannot be read",
	} {
		c, err := Open(t.Context(), url, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
		if err == nil {
			c.Close()
		}
	}
}

// Two processes may start on one new database at once.
func TestOpenAtOnce(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
	inParallel(4, func(int) {
		c, err := Open(t.Context(), url, Options{})
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSchemaVersions(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
	if _, err := Open(t.Context(), url, Options{NoMigrate: true}); err == nil || !strings.Contains(err.Error(), "Run: ingot migrate") {
		t.Errorf("an older schema: %v", err)
	}
	c, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.do(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
	second, err := Open(t.Context(), url, Options{NoMigrate: true})
	if err != nil {
		t.Fatalf("a newer schema that was made by adding: %v", err)
	}
	if err := second.Compatible(t.Context()); err != nil {
		t.Error(err)
	}
	c.do(t, `UPDATE compatible SET oldest = 9999`)
	if err := second.Compatible(t.Context()); refusalCode(err) != "database_newer" {
		t.Errorf("a database that was changed beneath a running service: %v", err)
	}
	if err := errors.Join(c.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url, Options{}); err == nil || !strings.Contains(err.Error(), "version 9999") || !strings.Contains(err.Error(), "newer one, or restore") {
		t.Errorf("a newer schema: %v", err)
	}
	if _, _, err := Migrate(t.Context(), url); refusalCode(err) != "database_newer" {
		t.Errorf("migrating a newer schema: %v", err)
	}
}

func refusalCode(err error) string {
	if r := refusal.As(err); r != nil {
		return r.Code
	}
	return ""
}

// What was acknowledged is seen by a process that opens the file beside the first one, and the other way round.
func TestTwoProcesses(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
	first, second := openTest(t, url), openTest(t, url)
	a := first.account(t, "a", image.Quota{})
	for n := range 5 {
		m := first.create(t, a, fmt.Sprint(n))
		if got := second.image(t, a, m.ID); got.Name != m.Name {
			t.Errorf("image %+v", got)
		}
		m = second.create(t, a, fmt.Sprint("other ", n))
		first.image(t, a, m.ID)
	}
	inParallel(8, func(n int) {
		c := []*Catalog{first, second}[n%2]
		for range 5 {
			if _, err := c.CreateImage(t.Context(), a, request("x"), image.IdempotencyKey{}); err != nil {
				t.Error(err)
			}
		}
	})
	first.wantHolding(t, a, change{images: 50, queued: 50})
}

// Every connection is durable and checks what a row refers to; those for reading cannot write.
func TestPragmas(t *testing.T) {
	c := openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1"} {
		for _, db := range []*sql.DB{c.writer, c.readers} {
			var got string
			if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s, want %s; %v", pragma, got, want, err)
			}
		}
	}
	if _, err := c.readers.ExecContext(t.Context(), `DELETE FROM region`); err == nil {
		t.Error("a reader deleted something")
	}
}
