// Package service starts the Ingot that a bench measures, of this source tree, and is as little of a client of it as
// measuring needs.
package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Build compiles the service as it is released, into a folder, unless a binary is given.
func Build(ctx context.Context, folder, given string) (binary string, err error) {
	if given != "" {
		return filepath.Abs(given)
	}
	binary, err = filepath.Abs(filepath.Join(folder, "ingot"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/ingot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// Service is a running Ingot with a data directory of its own.
type Service struct {
	Client
	Data string

	cmd *exec.Cmd
	log logText
}

// Start starts a service on a data directory and waits until it is ready. allow is the source that it may import
// from; more are further flags of `ingot serve`.
func Start(ctx context.Context, binary, data, allow string, more ...string) (*Service, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := append([]string{"serve", "--data", data, "--listen", address, "--allow-source", allow, "--log-format", "json"}, more...)
	s := &Service{Client: Client{Base: "http://" + address}, Data: data, cmd: exec.CommandContext(ctx, binary, args...)}
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.ready(ctx, filepath.Join(data, "token")); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%w\n%s", err, s.log.tail())
	}
	return s, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Kill ends the service at once; after Stop it does nothing.
func (s *Service) Kill() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// Stop ends the service as an operator does.
func (s *Service) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, s.log.tail())
	}
	return nil
}

// Pid is the service's process.
func (s *Service) Pid() int { return s.cmd.Process.Pid }

// StoreBytes is the size of all that an image takes: packs and manifests, and the catalogue with the rows of the chunk index.
func (s *Service) StoreBytes() (int64, error) {
	objects, err := TreeBytes(filepath.Join(s.Data, "store"))
	catalogue, err2 := TreeBytes(filepath.Join(s.Data, "catalog.db"))
	return objects + catalogue, errors.Join(err, err2)
}

// TreeBytes is the sum of the sizes of a folder's files. One that goes meanwhile counts nothing.
func TreeBytes(folder string) (total int64, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				total += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

// Settled waits until the service has compressed well what it has compressed lightly, which it does by itself when it has
// been idle for some seconds, and says in its log; before is what SettledBefore returned. Where there is nothing to
// settle the store's rest of half a minute is taken for it.
func (s *Service) Settled(ctx context.Context, before int, most time.Duration) (int64, error) {
	begun, since := time.Now(), time.Now()
	last, err := s.StoreBytes()
	for err == nil && s.SettledBefore() == before && time.Since(since) < 30*time.Second && time.Since(begun) < most && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		var now int64
		if now, err = s.StoreBytes(); now != last {
			last, since = now, time.Now()
		}
	}
	if err == nil {
		last, err = s.StoreBytes()
	}
	return last, errors.Join(err, ctx.Err())
}

// SettledBefore returns how often the service has settled; to be asked before the import whose bytes Settled shall wait for.
func (s *Service) SettledBefore() int { return s.log.count(`"msg":"settled"`) }

// logText is what the service has said.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(s))
}

// tail returns the last of it, for an error.
func (l *logText) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.text.Bytes()
	return string(b[max(0, len(b)-4000):])
}
