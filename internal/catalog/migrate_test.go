package catalog

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/catalog/pgtest"
)

// This binary works on a database to which a later one has added columns and tables: the whole suite says so.
func TestNewerSchema(t *testing.T) {
	suite(t, func(t *testing.T) *Catalog {
		url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
		c := openTest(t, url)
		c.addLater(t)
		return openTest(t, url)
	})
}

// addLater does what a later migration may do.
func (c *Catalog) addLater(t *testing.T) {
	t.Helper()
	rows, err := c.writer.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := rows.Err(); err != nil || len(tables) < 20 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	rows.Close()
	for _, table := range tables {
		c.do(t, `ALTER TABLE `+table+` ADD COLUMN later TEXT`)
		c.do(t, `ALTER TABLE `+table+` ADD COLUMN much_later BIGINT NOT NULL DEFAULT 7`)
	}
	c.do(t, `CREATE TABLE later (id {{serial}})`)
	c.do(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
}

func TestMigrate(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
	before, after, err := Migrate(t.Context(), url)
	if err != nil || before != 0 || after < 10 {
		t.Errorf("an empty database: from %d to %d, %v", before, after, err)
	}
	if again, same, err := Migrate(t.Context(), url); err != nil || again != after || same != after {
		t.Errorf("a second time: from %d to %d, %v", again, same, err)
	}
	c, err := Open(t.Context(), url, Options{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// firstAdding is the migration with which the rule began.
const firstAdding = 10

// A migration adds, or says which binaries it shuts out.
func TestMigrationsAdd(t *testing.T) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) < firstAdding-1 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	for _, file := range files {
		var version int
		if _, err := fmt.Sscanf(filepath.Base(file), "%04d", &version); err != nil {
			t.Fatal(err)
		}
		text, err := fs.ReadFile(migrations, file)
		if err != nil {
			t.Fatal(err)
		}
		if version <= firstAdding {
			continue
		}
		if shut := fmt.Sprintf("UPDATE compatible SET oldest = %d", version); strings.Contains(string(text), shut) {
			continue
		}
		if s := notAdding(string(text)); s != "" {
			t.Errorf("%s does more than add, so older binaries may fail on it: change it, or end it with "+
				"UPDATE compatible SET oldest = %d;\n%s", file, version, s)
		}
	}
}

var (
	addsTable  = regexp.MustCompile(`^CREATE TABLE (\w+)`)
	addsIndex  = regexp.MustCompile(`^CREATE INDEX`)
	addsUnique = regexp.MustCompile(`^CREATE UNIQUE INDEX \w+ ON (\w+)`)
	addsColumn = regexp.MustCompile(`^ALTER TABLE \w+ ADD COLUMN \w+ `)
	addsRows   = regexp.MustCompile(`^INSERT INTO (\w+)`)
)

// notAdding returns the first statement of a migration that does more than add: "" if there is none. What an older
// binary may do with the tables that it knows must stay as it was: it names no new column, and heeds no new constraint.
func notAdding(text string) string {
	text = regexp.MustCompile(`--.*`).ReplaceAllString(text, "")
	made := map[string]bool{}
	for statement := range strings.SplitSeq(text, ";") {
		s := strings.Join(strings.Fields(statement), " ")
		switch {
		case s == "", addsIndex.MatchString(s):
		case addsTable.MatchString(s):
			made[addsTable.FindStringSubmatch(s)[1]] = true
		case addsColumn.MatchString(s) && (!strings.Contains(s, "NOT NULL") || strings.Contains(s, "DEFAULT")) &&
			!strings.Contains(s, "UNIQUE") && !strings.Contains(s, "CHECK"):
		case addsUnique.MatchString(s) && made[addsUnique.FindStringSubmatch(s)[1]]:
		case addsRows.MatchString(s) && made[addsRows.FindStringSubmatch(s)[1]]:
		default:
			return s
		}
	}
	return ""
}

func TestNotAdding(t *testing.T) {
	for text, adds := range map[string]bool{
		"-- +goose Up\nCREATE TABLE a (id {{serial}}); CREATE UNIQUE INDEX b ON a (id); INSERT INTO a (id) VALUES (1);": true,
		"ALTER TABLE image ADD COLUMN a TEXT; CREATE INDEX b ON image (a);":                                             true,
		"ALTER TABLE image ADD COLUMN a BIGINT NOT NULL DEFAULT 0;":                                                     true,
		"ALTER TABLE image ADD COLUMN a BIGINT NOT NULL;":                                                               false,
		"ALTER TABLE image ADD COLUMN a BIGINT UNIQUE;":                                                                 false,
		"ALTER TABLE image DROP COLUMN name;":                                                                           false,
		"ALTER TABLE image RENAME COLUMN name TO title;":                                                                false,
		"CREATE UNIQUE INDEX b ON image (name);":                                                                        false,
		"UPDATE image SET name = '';":                                                                                   false,
		"CREATE TABLE a (id BIGINT); DROP TABLE image;":                                                                 false,
	} {
		if got := notAdding(text); (got == "") != adds {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// Several processes migrate at once. Then a later ingot adds to the schema, and this one works on; and takes away, and
// this one stops.
func TestPostgresMigrateAtOnce(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	inParallel(4, func(int) {
		if _, _, err := Migrate(t.Context(), url); err != nil {
			t.Error(err)
		}
	})
	c := openTest(t, url)
	var n int
	err := c.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM compatible`).Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d rows, %v: a migration was applied twice", n, err)
	}
	c.do(t, `ALTER TABLE image ADD COLUMN later TEXT`)
	c.do(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)`)
	newer := openTest(t, url)
	if err := newer.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	c.do(t, `UPDATE compatible SET oldest = 9998`)
	if err := c.Compatible(t.Context()); refusalCode(err) != "database_newer" || !strings.Contains(err.Error(), "version 9999") {
		t.Errorf("a database that was changed beneath a running service: %v", err)
	}
	_, err = Open(t.Context(), url, Options{})
	if refusalCode(err) != "database_newer" {
		t.Errorf("a newer schema: %v", err)
	}
	c.do(t, `ALTER TABLE compatible RENAME TO gone`)
	if _, err = Open(t.Context(), url, Options{}); err == nil || refusalCode(err) == "database_newer" {
		t.Errorf("whether it fits cannot be read: %v", err)
	}
}
