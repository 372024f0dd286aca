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
// mistyped --data is seen.
func (f dataFlags) openCatalog(ctx context.Context) (*catalog.Catalog, error) {
	if f.Database == "" {
		if _, err := os.Stat(filepath.Join(f.Data, "catalog.db")); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("there is no data of Ingot in %s; name the data directory with --data, or start one with: ingot serve --data %s", f.Data, f.Data)
		}
	}
	return catalog.Open(ctx, f.databaseURL(), catalog.Options{})
}

// lockData takes the data directory for this process. A SQLite catalogue has one service at a time; the kernel frees
// the lock when the process ends, however it ends.
func lockData(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another service is running on %s; stop it, or give this one its own --data", dir)
		}
		return nil, err
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
