package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/refusal"
)

// dataFlags say where a service's data is; every command that touches it has them.
type dataFlags struct {
	Data     string `help:"The data directory." default:"./ingot-data" type:"path"`
	Database string `help:"The catalogue: sqlite:FILE or postgres://USER@HOST/NAME. Without it, a SQLite file in the data directory."`
}

func (f dataFlags) databaseURL() string {
	if f.Database != "" {
		return f.Database
	}
	return "sqlite:" + filepath.Join(f.Data, "catalog.db")
}

// openCatalog opens the catalogue of an existing data directory: a command other than serve makes none, so that a
// mistyped --data is seen, and none changes the schema: older processes may be at work on it.
func (f dataFlags) openCatalog(ctx context.Context) (*catalog.Catalog, error) {
	if err := f.wantData(); err != nil {
		return nil, err
	}
	return catalog.Open(ctx, f.databaseURL(), catalog.Options{NoMigrate: true})
}

func (f dataFlags) wantData() error {
	if f.Database != "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(f.Data, "catalog.db")); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no data of Ingot in %s; name the data directory with --data, or start one with: ingot serve --data %s", f.Data, f.Data)
	}
	return nil
}

// ownData makes sure that a data directory belongs to the service of this database: its token, and stores and uploads
// in it, are that service's.
func ownData(ctx context.Context, cat *catalog.Catalog, dir string) error {
	id, err := cat.ServiceID(ctx)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "service")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return writeFileDurably(name, []byte(id+"\n"), 0o600)
	}
	if err == nil && strings.TrimSpace(string(b)) != id {
		return refusal.New("data_taken", "The data directory %s belongs to a service with another database. Give this one its own --data, or that service's --database.", dir)
	}
	return err
}

// lock makes this process the only service on a SQLite catalogue, which is locked beside its file, and on the data
// directory. A catalogue on PostgreSQL has several services: nothing is locked. The kernel frees the locks when the process
// ends, however it ends.
func (f dataFlags) lock() (locks []*os.File, err error) {
	database, ok := catalog.SQLiteFile(f.databaseURL())
	if !ok || database == "" {
		return nil, nil
	}
	if real, err := filepath.EvalSymlinks(database); err == nil {
		database = real
	}
	for _, name := range []string{filepath.Join(f.Data, "lock"), database + ".lock"} {
		file, err := lockFile(name)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another service is running on %s; stop it, or give this one its own --data (several processes on one catalogue need --database postgres://…)", filepath.Dir(name))
		}
		if err != nil {
			return locks, err
		}
		locks = append(locks, file)
	}
	return locks, nil
}

func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// message is what a person at the terminal reads of an error.
func message(err error) string {
	if r := refusal.As(err); r != nil {
		return r.Message
	}
	var e *image.Error
	if errors.As(err, &e) && e.Cause == nil {
		return e.Message
	}
	return strings.TrimPrefix(err.Error(), "ingot: ")
}
