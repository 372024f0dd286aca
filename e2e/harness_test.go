// Package e2e tests the built binary from outside: its command line, its API, its signals and its crashes.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/e2e/harness"
)

var executable string // built once by TestMain

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ingot-e2e-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if executable, err = harness.Build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// service is a running ingot serve, and its API.
type service struct {
	*harness.Service
	t    *testing.T
	data string
}

// start runs ingot serve on a data directory and waits until it is ready.
func start(t *testing.T, data string, args ...string) *service {
	t.Helper()
	return &service{harness.Start(t, executable, data, args...), t, data}
}

type wireImage struct {
	ID           int64    `json:"id"`
	Status       string   `json:"status"`
	ErrorMessage string   `json:"error_message"`
	Regions      []string `json:"regions"`
	MinDiskSize  *int64   `json:"min_disk_size"`
}

type wireImport struct {
	Phase         string `json:"phase"`
	Attempt       int    `json:"attempt"`
	BytesRead     int64  `json:"bytes_read"`
	StoredBytes   int64  `json:"stored_bytes"`
	SharedBytes   int64  `json:"shared_bytes"`
	ContentDigest string `json:"content_digest"`
	SourceSHA256  string `json:"source_sha256"`
}

// call makes a request and decodes the answer into the value given; it returns the status.
func (s *service) call(method, path string, body, into any) int {
	s.t.Helper()
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		send = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, send)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, s.Log)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
		}
	}
	return resp.StatusCode
}

func (s *service) create(name, url string) int64 {
	s.t.Helper()
	var answer struct{ Image wireImage }
	body := map[string]any{"name": name, "url": url, "region": "nyc3"}
	if code := s.call("POST", "/v2/images", body, &answer); code != http.StatusAccepted {
		s.t.Fatalf("create %s: %d %+v", name, code, answer)
	}
	return answer.Image.ID
}

func (s *service) image(id int64) wireImage {
	s.t.Helper()
	var answer struct{ Image wireImage }
	s.call("GET", fmt.Sprintf("/v2/images/%d", id), nil, &answer)
	return answer.Image
}

func (s *service) progress(id int64) wireImport {
	s.t.Helper()
	var answer struct{ Import wireImport }
	s.call("GET", fmt.Sprintf("/v2/images/%d/import", id), nil, &answer)
	return answer.Import
}

// settled waits until an import has ended and returns the image.
func (s *service) settled(id int64) (m wireImage) {
	s.t.Helper()
	s.Eventually(fmt.Sprintf("image %d ends", id), func() bool {
		m = s.image(id)
		return m.Status != "NEW" && m.Status != "pending"
	})
	return m
}

// content reads an image back as raw.
func (s *service) content(id int64) []byte {
	s.t.Helper()
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/v2/images/%d/file?format=raw", s.URL, id), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("read image %d: %d %v", id, resp.StatusCode, err)
	}
	return b
}

// metrics returns what /metrics says, without a token.
func (s *service) metrics() string {
	s.t.Helper()
	resp, err := http.Get(s.URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("/metrics: %d %v", resp.StatusCode, err)
	}
	return string(b)
}

// ingot runs a command of the binary and returns its output.
func ingot(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(executable, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ingot %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// startFailing runs a command that must fail, and returns what it says.
func startFailing(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, executable, args...).CombinedOutput()
	if err == nil {
		t.Fatalf("ingot %s succeeded:\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

// bytesUnder adds up the files below a folder.
func bytesUnder(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return total
}
