package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A SQLite catalogue has one service, whatever its data directory, and the second touches nothing.
func TestOneServiceToACatalogue(t *testing.T) {
	data, other, elsewhere := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "x.db")
	link := filepath.Join(t.TempDir(), "link.db")
	if err := errors.Join(os.WriteFile(elsewhere, nil, 0o600), os.Symlink(elsewhere, link)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what          string
		first, second dataFlags
		alone         bool
	}{
		{"the same directory", dataFlags{Data: data}, dataFlags{Data: data}, true},
		{"another database, one directory", dataFlags{Data: data}, dataFlags{Data: data, Database: "sqlite:" + elsewhere}, true},
		{"one database, another directory", dataFlags{Data: data, Database: "sqlite:" + elsewhere}, dataFlags{Data: other, Database: "sqlite://" + link}, true},
		{"nothing in common", dataFlags{Data: data}, dataFlags{Data: other}, false},
		{"PostgreSQL", dataFlags{Data: data, Database: "postgres:///x"}, dataFlags{Data: data, Database: "postgres:///x"}, false},
	} {
		first, err := test.first.lock()
		if err != nil {
			t.Fatal(test.what, err)
		}
		second, err := test.second.lock()
		if (err != nil) != test.alone || err != nil && !strings.Contains(err.Error(), "another service is running") {
			t.Errorf("%s: %v", test.what, err)
		}
		for _, f := range append(first, second...) {
			f.Close()
		}
	}
	locks, err := dataFlags{Data: data}.lock()
	if err != nil {
		t.Fatal("the locks did not end:", err)
	}
	if _, err := openService(t.Context(), &serveCmd{dataFlags: dataFlags{Data: data}}, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("a second service has begun")
	}
	if _, err := os.Stat(filepath.Join(data, "catalog.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a service that was refused has made or migrated the catalogue: %v", err)
	}
	for _, f := range locks {
		f.Close()
	}
}

// What spools have left is removed by the one service that can have made it.
func TestScratchIsCleared(t *testing.T) {
	dir := t.TempDir()
	s := &service{cmd: &serveCmd{dataFlags: dataFlags{Data: dir}}}
	scratch, err := s.openScratch()
	if err != nil {
		t.Fatal(err)
	}
	left, mine := filepath.Join(scratch, "spool-1"), filepath.Join(scratch, "other")
	if err := errors.Join(os.WriteFile(left, nil, 0o600), os.WriteFile(mine, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.openScratch(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("without a lock: %v", err)
	}
	if s.locks, err = s.cmd.lock(); err != nil {
		t.Fatal(err)
	}
	defer s.locks[0].Close()
	if _, err := s.openScratch(); err != nil {
		t.Fatal(err)
	}
	_, gone := os.Stat(left)
	_, there := os.Stat(mine)
	if !errors.Is(gone, fs.ErrNotExist) || there != nil {
		t.Errorf("left: %v; not a spool's: %v", gone, there)
	}
}
