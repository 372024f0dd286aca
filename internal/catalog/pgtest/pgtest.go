// Package pgtest starts servers of PostgreSQL for tests.
package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
)

// Locked is the one user whom the server asks for a password; a test that needs him makes him.
const Locked = "locked"

// Server is a PostgreSQL server in a temporary directory, reachable by a socket in it alone.
type Server struct {
	bin       string
	dir       string
	options   string // of the server, as pg_ctl takes them
	as        *syscall.SysProcAttr
	databases atomic.Int64
}

// Start starts a server that lives as long as the test. Where PostgreSQL is not installed the test is skipped. Settings
// are as in postgresql.conf: name=value.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	bin := postgresFolder(t)
	dir, err := os.MkdirTemp("", "ingot-pg") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{bin: bin, dir: dir}
	if err := s.chooseUser(); err != nil {
		t.Skipf("PostgreSQL does not run as root, and there is no user postgres: %v", err)
	}
	data := filepath.Join(dir, "data")
	s.run(t, "initdb", "--no-sync", "--auth=trust", "--username=ingot", "--encoding=UTF8", "--locale=C", "-D", data)
	s.askLocked(t, filepath.Join(data, "pg_hba.conf"))
	// The tests prove what a transaction does, not what a power failure does: no fsync.
	options := fmt.Sprintf("-k %s -c listen_addresses= -c fsync=off -c max_connections=200", dir)
	for _, setting := range settings {
		options += " -c " + setting
	}
	s.options = options
	s.Restart(t)
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(data, "postmaster.pid")); err == nil {
			s.Stop(t)
		}
	})
	return s
}

// Stop stops the server as a crash of its machine does.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.run(t, "pg_ctl", "-D", filepath.Join(s.dir, "data"), "-m", "immediate", "--wait", "stop")
}

// Restart starts the server that was stopped.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.run(t, "pg_ctl", "-D", filepath.Join(s.dir, "data"), "-o", s.options, "-l", filepath.Join(s.dir, "log"), "--wait", "start")
}

// askLocked puts the rule for the user Locked before that for all others.
func (s *Server) askLocked(t testing.TB, file string) {
	t.Helper()
	rules, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("local all "+Locked+" scram-sha-256\n"), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Database makes an empty database and returns its URL, for a user who may do everything.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	s.Do(t, "postgres", "CREATE DATABASE "+name)
	return s.URL("ingot", name)
}

// URL is that of a database, for a user with or without a password (user:password).
func (s *Server) URL(user, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s", user, database, s.dir)
}

// Do runs statements in a database, as a user who may do everything.
func (s *Server) Do(t testing.TB, database, statements string) {
	t.Helper()
	s.run(t, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", s.dir, "-U", "ingot", "-d", database, "-c", statements)
}

// postgresFolder finds the programs of the newest installed version. Debian keeps them off the PATH.
func postgresFolder(t testing.TB) string {
	t.Helper()
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	found, err := exec.LookPath("initdb")
	if err != nil {
		t.Skip("PostgreSQL is missing; apt-get install postgresql")
	}
	return filepath.Dir(found)
}

// chooseUser makes the server run as the user postgres where the test runs as root: PostgreSQL refuses that.
func (s *Server) chooseUser() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return os.Chown(s.dir, uid, gid)
}

func (s *Server) run(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = s.as
	// The server inherits what its starter writes to: a file, since a pipe would keep Wait waiting for the server.
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}
