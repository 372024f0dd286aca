// Package s3test runs a real S3 server, versitygw, for tests. The server is a Go module that the module beside this
// file pins, built by the go command and kept in its cache; it serves a folder on the loopback interface.
package s3test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// patience is how long a server may take to answer at first; it asserts nothing about speed.
const patience = 90 * time.Second

// The owner of all buckets, and one who may do only what a bucket's policy allows.
const (
	Access, Secret           = "INGOTTESTOWNER", "owner-secret-e7a1c05b"
	GuestAccess, GuestSecret = "INGOTTESTGUEST", "guest-secret-93d2b0fe"
)

// Region is the server's.
const Region = "eu-test-1"

// Server is a running versitygw.
type Server struct {
	Endpoint string // its URL
	Client   *minio.Client

	program string
}

// program builds the server, if need be, and returns its path.
var program = sync.OnceValues(func() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "internal/store/s3/s3test/versitygw")
	cmd := exec.Command("go", "tool", "-n", "versitygw")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("building versitygw: %w\n%s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(path)), nil
})

// Start runs a server on an empty folder until the test ends. Of a test process's servers, each is its own.
func Start(t testing.TB) *Server {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	root, accounts := t.TempDir(), t.TempDir()
	cmd := exec.Command(path, "--port", address, "--access", Access, "--secret", Secret, "--region", Region,
		"--keep-alive", "--quiet", "--iam-dir", accounts, "posix", root)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { cmd.Wait(); close(gone) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-gone })
	s := &Server{Endpoint: "http://" + address, program: path}
	s.Client, err = minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(Access, Secret, ""), Region: Region})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(s.Endpoint)
		if err == nil {
			resp.Body.Close()
			return s
		}
		select {
		case <-gone:
			t.Fatalf("versitygw ended:\n%s", log.Bytes())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("versitygw does not answer: %v", err)
		}
	}
}

// Bucket makes a bucket and returns its name.
func (s *Server) Bucket(t testing.TB, name string) string {
	t.Helper()
	if err := s.Client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// URL returns the URL of a store in a bucket.
func (s *Server) URL(bucket, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s", bucket, prefix, s.Endpoint, Region)
}

// Guest makes the guest's account and lets it do in a bucket what is named, "s3:GetObject".
func (s *Server) Guest(t testing.TB, bucket string, actions ...string) {
	t.Helper()
	cmd := exec.Command(s.program, "admin", "--access", Access, "--secret", Secret, "--endpoint-url", s.Endpoint, "--region", Region,
		"create-user", "--access", GuestAccess, "--secret", GuestSecret, "--role", "user")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("create-user: %v\n%s", err, out)
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q]},"Action":["%s"],
		"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%[3]s/*"]}]}`, GuestAccess, strings.Join(actions, `","`), bucket)
	if err := s.Client.SetBucketPolicy(t.Context(), bucket, policy); err != nil {
		t.Fatal(err)
	}
}

// Keys returns every key of a bucket, and what the objects hold in bytes.
func (s *Server) Keys(t testing.TB, bucket string) (keys []string, size int64) {
	t.Helper()
	for o := range s.Client.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		keys, size = append(keys, o.Key), size+o.Size
	}
	return keys, size
}

// Uploads returns the keys of a bucket's unfinished uploads.
func (s *Server) Uploads(t testing.TB, bucket string) (keys []string) {
	t.Helper()
	core := minio.Core{Client: s.Client}
	found, err := core.ListMultipartUploads(context.WithoutCancel(t.Context()), bucket, "", "", "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range found.Uploads {
		keys = append(keys, u.Key)
	}
	return keys
}
