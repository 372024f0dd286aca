// Package s3 keeps objects in a bucket of Amazon S3 or of a service that speaks its protocol. An object appears whole or
// not at all: it is one PUT, or a multipart upload that is completed. Nothing relies on what the bucket lists.
package s3

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ingot/internal/store"
)

const (
	// attempts bounds how often a request is made that fails of something passing; the pauses grow to a second.
	attempts = 10

	// longest bounds one operation with all its attempts: a part of an upload, a read, a deletion, a page of a list.
	longest = 5 * time.Minute
)

// Store keeps objects under a prefix of a bucket. Several processes may share it.
type Store struct {
	place  Place
	core   minio.Core
	creds  *credentials.Credentials
	buffer sync.Pool // of *[]byte, partSize long
}

var (
	_ store.Objects = (*Store)(nil)
	_ store.Distant = (*Store)(nil)
)

// Open returns the store of a place. It asks the service for nothing: see Check. Credentials come from the environment
// (AWS_ACCESS_KEY_ID), the files of the AWS command line, or the machine's or the container's role. transport carries
// the requests; nil is one of the store's own.
func Open(p Place, transport http.RoundTripper) (*Store, error) {
	if transport == nil {
		transport = newTransport()
	}
	s := &Store{place: p, creds: findCredentials(), buffer: sync.Pool{New: func() any {
		b := make([]byte, partSize)
		return &b
	}}}
	client, err := minio.New(p.endpoint.Host, &minio.Options{
		Creds:        s.creds,
		Secure:       p.endpoint.Scheme == "https",
		Region:       p.signingRegion(),
		BucketLookup: p.lookup,
		Transport:    &stallGuard{transport, longestSilence},
		MaxRetries:   attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", p, err)
	}
	s.core = minio.Core{Client: client}
	return s, nil
}

// findCredentials returns the first credentials there are. They are asked for anew before they run out.
func findCredentials() *credentials.Credentials {
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		providers = append(providers, &credentials.IAM{Client: &http.Client{Transport: newTransport(), Timeout: 5 * time.Second}})
	}
	return credentials.NewChainCredentials(providers)
}

// key returns the key of an object.
func (s *Store) key(name string) (string, error) {
	if !store.ValidName(name) {
		return "", fmt.Errorf("object name %q: %w", name, fs.ErrInvalid)
	}
	return s.place.prefix + name, nil
}

// bound bounds one operation.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, longest, fmt.Errorf("s3: no end after %v", longest))
}

// Stat returns the object's size.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	key, err := s.key(name)
	if err != nil {
		return 0, err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	info, err := s.core.StatObject(ctx, s.place.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return 0, failure(ctx, "stat", name, err)
	}
	return info.Size, nil
}

// Delete ends the uploads that a writer of that name left unfinished, then removes the object: an upload that is
// completed between the two is removed with it.
func (s *Store) Delete(ctx context.Context, name string) error {
	key, err := s.key(name)
	if err != nil {
		return err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	left, err := s.core.ListMultipartUploads(ctx, s.place.bucket, key, "", "", "", 0)
	if err != nil {
		return failure(ctx, "list the uploads", name, err)
	}
	for _, u := range left.Uploads {
		if u.Key != key {
			continue
		}
		err := s.core.AbortMultipartUpload(ctx, s.place.bucket, key, u.UploadID)
		if err != nil && code(err) != minio.NoSuchUpload {
			return failure(ctx, "abort an upload", name, err)
		}
	}
	err = s.core.RemoveObject(ctx, s.place.bucket, key, minio.RemoveObjectOptions{})
	if err != nil && code(err) != minio.NoSuchKey {
		return failure(ctx, "delete", name, err)
	}
	return nil
}
