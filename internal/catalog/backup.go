package catalog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// BackupFile is the name of a backup in its folder: a SQLite database, or a dump of PostgreSQL in pg_dump's custom format.
func (c *Catalog) BackupFile() string {
	if c.d.shared {
		return "catalog.pgdump"
	}
	return "catalog.db"
}

// Hold is what keeps objects from being deleted.
type Hold struct {
	ID    int64
	Until time.Time
}

// Hold keeps every object from being deleted until the time has passed, whatever a sweep finds: those that are
// registered now and those that come. It begins before a backup: what the backup names is then still there when the
// stores are copied, also what was published between the hold and the backup.
func (c *Catalog) Hold(ctx context.Context, reason string, during time.Duration) (h Hold, err error) {
	err = c.writeAside(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, `DELETE FROM hold WHERE until <= {{now}}`); err != nil {
			return err
		}
		var ms int64
		err := t.row(ctx, `INSERT INTO hold (reason, object_id, until) VALUES ($1, $2, {{now}} + $3) RETURNING id, until`,
			reason, int64(math.MaxInt64), during.Milliseconds()).Scan(&h.ID, &ms)
		h.Until = fromMillis(ms)
		return err
	})
	return h, err
}

// NarrowHold lets go of what is registered from now on. It comes after the backup, which cannot name that.
func (c *Catalog) NarrowHold(ctx context.Context, h Hold) error {
	return c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE hold SET object_id = (SELECT coalesce(max(id), 0) FROM object) WHERE id = $1`, h.ID)
		return err
	})
}

// EndHold ends one hold, of a backup that came to nothing.
func (c *Catalog) EndHold(ctx context.Context, h Hold) error {
	return c.writeAside(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM hold WHERE id = $1`, h.ID)
		return err
	})
}

// EndHolds lets sweeps delete what the holds of all backups have kept, and returns how many there were.
func (c *Catalog) EndHolds(ctx context.Context) (n int64, err error) {
	err = c.writeAside(ctx, func(t *tx) error {
		n, err = t.exec(ctx, `DELETE FROM hold WHERE until > {{now}}`)
		return err
	})
	return n, err
}

// Held returns until when the last hold lasts, and how many dead objects wait for holds to end; the zero time if there
// is none.
func (c *Catalog) Held(ctx context.Context) (until time.Time, objects int64, err error) {
	err = c.read(ctx, func(t *tx) error {
		var ms int64
		if err := t.row(ctx, `SELECT coalesce(max(until), 0) FROM hold WHERE until > {{now}}`).Scan(&ms); err != nil {
			return err
		}
		until = fromMillis(ms)
		return t.row(ctx, `SELECT count(*) FROM object WHERE state = 'dead' AND `+isHeld).Scan(&objects)
	})
	return until, objects, err
}

// isHeld is true for an object that a backup relies on.
const isHeld = `EXISTS (SELECT 1 FROM hold h WHERE h.until > {{now}} AND h.object_id >= object.id)`

// Backup writes one state of the catalogue to a file that must not be there yet, while others go on reading and writing.
// database is the URL that the catalogue was opened by. For PostgreSQL it runs pg_dump, which must be on the PATH.
func (c *Catalog) Backup(ctx context.Context, database, file string) error {
	temporary := file + ".unfinished"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already", file)
	}
	// Both write into a file that is there and empty: so nobody else can read it for a moment.
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if c.d.shared {
		err = dumpPostgres(ctx, database, temporary)
	} else {
		_, err = c.writer.ExecContext(ctx, `VACUUM INTO $1`, temporary)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the backup of the catalogue: %w", err), os.Remove(temporary))
	}
	return finishFile(f, temporary, file)
}

// finishFile makes what was written durable, and then gives it its name.
func finishFile(f *os.File, temporary, file string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(temporary, file); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// ErrNoDump is a backup that another program can still make: the hold for it stays.
var ErrNoDump = errors.New("pg_dump is not on the PATH: install PostgreSQL's client programs of the server's version, or run pg_dump " +
	"--format=custom where they are; the hold on the stores is in place")

// dumpPostgres runs pg_dump, which reads one state of the database throughout. The password does not go on a command
// line that other users of the machine see.
func dumpPostgres(ctx context.Context, database, file string) error {
	u, err := url.Parse(database)
	if err != nil {
		return errors.New("the database's URL cannot be read")
	}
	dump := exec.CommandContext(ctx, "pg_dump", "--format=custom", "--no-owner", "--file="+file)
	dump.Env = os.Environ()
	if password, ok := u.User.Password(); ok {
		dump.Env = append(dump.Env, "PGPASSWORD="+password)
		u.User = url.User(u.User.Username())
	}
	dump.Args = append(dump.Args, "--dbname="+u.String())
	out, err := dump.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return ErrNoDump
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
