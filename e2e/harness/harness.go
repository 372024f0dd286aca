// Package harness runs the built binary as a service, for tests that look at it from outside.
package harness

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long a test waits for what should come; it asserts nothing about speed.
const Patience = 90 * time.Second

// Build builds the binary as it is released, into a folder, and returns its path.
func Build(dir string) (string, error) {
	executable := filepath.Join(dir, "ingot")
	build := exec.Command("go", "build", "-o", executable, "ingot/cmd/ingot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return executable, nil
}

// Service is a running ingot serve.
type Service struct {
	URL   string // without a slash at the end
	Token string // the first one, with every scope
	Log   *Log   // what it has written on standard error

	t    testing.TB
	cmd  *exec.Cmd
	gone chan struct{}
}

// Start runs ingot serve on a data directory and waits until it is ready.
func Start(t testing.TB, executable, data string, args ...string) *Service {
	t.Helper()
	return start(t, http.DefaultClient, "http", executable, data, args)
}

// StartTLS is Start with a --tls-cert among the args, which the client must trust.
func StartTLS(t testing.TB, client *http.Client, executable, data string, args ...string) *Service {
	t.Helper()
	return start(t, client, "https", executable, data, args)
}

func start(t testing.TB, client *http.Client, scheme, executable, data string, args []string) *Service {
	t.Helper()
	address := FreeAddress(t)
	s := &Service{t: t, URL: scheme + "://" + address, Log: &Log{}, gone: make(chan struct{})}
	s.cmd = exec.Command(executable, append([]string{"serve", "--data", data, "--listen", address}, args...)...)
	s.cmd.Stderr = s.Log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.cmd.Wait(); close(s.gone) }()
	t.Cleanup(s.Kill)
	s.Eventually("the service is ready", func() bool { return s.ready(client) })
	token, err := os.ReadFile(filepath.Join(data, "token"))
	if err != nil {
		t.Fatal(err)
	}
	s.Token = strings.TrimSpace(string(token))
	return s
}

func (s *Service) ready(client *http.Client) bool {
	select {
	case <-s.gone:
		s.t.Fatalf("ingot serve ended:\n%s", s.Log)
	default:
	}
	resp, err := client.Get(s.URL + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// PID is the process's.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// Kill is kill -9.
func (s *Service) Kill() {
	s.cmd.Process.Kill()
	<-s.gone
}

// Terminate asks for a graceful shutdown and returns the exit code.
func (s *Service) Terminate() int {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
	case <-time.After(Patience):
		s.t.Fatalf("the service did not stop:\n%s", s.Log)
	}
	return s.cmd.ProcessState.ExitCode()
}

// Eventually waits until something is so, and fails the test when it does not come.
func (s *Service) Eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("in vain: %s\n%s", what, s.Log)
}

// FreeAddress returns an address on loopback that nobody listened on a moment ago.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Log is what a process writes while a test reads it.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
