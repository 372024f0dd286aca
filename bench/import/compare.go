package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is one run; seconds and bytes.
type sample struct {
	wall, cpu    float64
	peak, stored int64
}

// bench serves the test files and knows the binary under test.
type bench struct {
	cfg    config
	binary string
	web    *http.Server
	host   string
}

func newBench(ctx context.Context, cfg config) (*bench, error) {
	b := &bench{cfg: cfg, binary: filepath.Join(cfg.work, "ingot")}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/ingot")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.host = l.Addr().String()
	b.web = &http.Server{Handler: http.FileServer(http.Dir(cfg.work))}
	go b.web.Serve(l)
	return b, nil
}

func (b *bench) close() { b.web.Close() }

// compare runs both sides in turn and returns the medians.
func (b *bench) compare(ctx context.Context, f testFile) (ours, theirs sample, err error) {
	var us, them []sample
	for range b.cfg.rounds {
		s, err := b.ingot(ctx, f)
		if err != nil {
			return ours, theirs, err
		}
		us = append(us, s)
		if s, err = b.peer(ctx, f); err != nil {
			return ours, theirs, err
		}
		them = append(them, s)
	}
	return median(us), median(them), nil
}

func median(s []sample) sample {
	slices.SortFunc(s, func(a, b sample) int { return int(1e6 * (a.wall - b.wall)) })
	return s[len(s)/2]
}

// peer is what people do today, to a raw file.
func (b *bench) peer(ctx context.Context, f testFile) (sample, error) {
	dir := filepath.Join(b.cfg.work, "peer")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return sample{}, err
	}
	defer os.RemoveAll(dir)
	script := "set -e; curl -sSf -o f http://" + b.host + "/" + filepath.Base(f.path)
	if f.wrapper != "" {
		script += "; " + f.wrapper + " -c f > plain; rm f; mv plain f"
	}
	script += "; qemu-img convert -W -m 8 -f " + f.format + " -O raw f out.raw; sync out.raw"
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir = dir
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, out)
	}
	return sample{wall: time.Since(begun).Seconds(), cpu: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}, nil
}

// ingot imports the file into a new service, from POST to available.
func (b *bench) ingot(ctx context.Context, f testFile) (s sample, err error) {
	dir := filepath.Join(b.cfg.work, "service")
	if err := os.RemoveAll(dir); err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, b.binary, "serve", "--data", dir, "--listen", "127.0.0.1:18099", "--allow-source", b.host)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			err = fmt.Errorf("%w\n%s", err, log.Bytes())
		}
	}()
	c := client{base: "http://127.0.0.1:18099"}
	if err := c.ready(ctx, filepath.Join(dir, "token")); err != nil {
		return s, err
	}
	begun := time.Now()
	if s.stored, err = c.importImage(ctx, "http://"+b.host+"/"+filepath.Base(f.path)); err != nil {
		return s, err
	}
	s.wall = time.Since(begun).Seconds()
	s.peak = peakResident(cmd.Process.Pid)
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		return s, err
	}
	s.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return s, nil
}

// peakResident is VmHWM of /proc/PID/status, in bytes.
func peakResident(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// client is as little of a client as the measurement needs.
type client struct{ base, token string }

func (c *client) ready(ctx context.Context, tokenFile string) error {
	for ctx.Err() == nil {
		if resp, err := http.Get(c.base + "/readyz"); err == nil {
			resp.Body.Close()
			token, err := os.ReadFile(tokenFile)
			c.token = strings.TrimSpace(string(token))
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

func (c *client) importImage(ctx context.Context, url string) (stored int64, err error) {
	body, err := json.Marshal(map[string]string{"name": "bench", "region": "nyc3", "url": url})
	if err != nil {
		return 0, err
	}
	var created struct{ Image struct{ ID int64 } }
	if err := c.do(ctx, "POST", "/v2/images", body, &created); err != nil {
		return 0, err
	}
	for {
		var answer struct {
			Import struct {
				Phase       string
				StoredBytes int64 `json:"stored_bytes"`
				Error       *struct{ Message string }
			}
		}
		if err := c.do(ctx, "GET", fmt.Sprintf("/v2/images/%d/import", created.Image.ID), nil, &answer); err != nil {
			return 0, err
		}
		switch answer.Import.Phase {
		case "done":
			return answer.Import.StoredBytes, nil
		case "failed":
			return 0, errors.New(answer.Import.Error.Message)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c *client) do(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, err := io.ReadAll(resp.Body)
		return errors.Join(fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text), err)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
