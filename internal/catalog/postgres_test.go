package catalog

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

// pgServer is a PostgreSQL server in a temporary directory, reachable by a socket in it alone.
type pgServer struct {
	bin       string
	dir       string
	as        *syscall.SysProcAttr
	databases atomic.Int64
}

// startPostgres starts a server that lives as long as the test. Where PostgreSQL is not installed the test is skipped.
func startPostgres(t testing.TB) *pgServer {
	t.Helper()
	bin := postgresFolder(t)
	dir, err := os.MkdirTemp("", "ingot-pg") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &pgServer{bin: bin, dir: dir}
	if err := s.chooseUser(); err != nil {
		t.Skipf("PostgreSQL does not run as root, and there is no user postgres: %v", err)
	}
	data := filepath.Join(dir, "data")
	s.run(t, "initdb", "--no-sync", "--auth=trust", "--username=ingot", "--encoding=UTF8", "--locale=C", "-D", data)
	// The tests prove what a transaction does, not what a power failure does: no fsync.
	options := fmt.Sprintf("-k %s -c listen_addresses= -c fsync=off -c max_connections=200", dir)
	s.run(t, "pg_ctl", "-D", data, "-o", options, "-l", filepath.Join(dir, "log"), "--wait", "start")
	t.Cleanup(func() { s.run(t, "pg_ctl", "-D", data, "-m", "immediate", "--wait", "stop") })
	return s
}

// database makes an empty database and returns its URL.
func (s *pgServer) database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	s.run(t, "psql", "-q", "-h", s.dir, "-U", "ingot", "-d", "postgres", "-c", "CREATE DATABASE "+name)
	return fmt.Sprintf("postgres://ingot@/%s?host=%s", name, s.dir)
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
func (s *pgServer) chooseUser() error {
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

func (s *pgServer) run(t testing.TB, name string, args ...string) {
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
