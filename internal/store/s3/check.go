package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"ingot/internal/refusal"
)

// checkLimit bounds a Check.
const checkLimit = 30 * time.Second

// probe is how the names of the objects begin that a Check writes; List does not see them.
const probe = ".ingot-probe-"

// Check does, on a small object of its own, everything that a store does. What keeps it from that is a *refusal.Error
// that says what to do.
func (s *Store) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	value, err := s.creds.GetWithContext(nil)
	if err != nil || value.AccessKeyID == "" {
		return refusal.Wrap(err, "s3_no_credentials", "There are no credentials for %s. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "+
			"or name a profile of ~/.aws/credentials in AWS_PROFILE, or give this machine a role.", s.place)
	}
	key := s.place.prefix + probe + rand.Text()
	for _, step := range []struct {
		action string // as an IAM policy names it
		run    func(context.Context, string) error
	}{
		{"s3:ListBucket", s.probeList},
		{"s3:PutObject", s.probePut},
		{"s3:GetObject", s.probeGet},
		{"s3:DeleteObject", s.probeDelete},
		{"s3:PutObject and s3:AbortMultipartUpload", s.probeUpload},
		{"s3:ListBucketMultipartUploads", s.probeUploads},
	} {
		if err := step.run(ctx, key); err != nil {
			return s.refuse(ctx, step.action, err)
		}
	}
	return nil
}

func (s *Store) probeList(ctx context.Context, _ string) error {
	for o := range s.core.ListObjectsIter(ctx, s.place.bucket, minio.ListObjectsOptions{Prefix: s.place.prefix, Recursive: true, MaxKeys: 1}) {
		return o.Err
	}
	return nil
}

func (s *Store) probePut(ctx context.Context, key string) error {
	b := []byte(key)
	_, err := s.core.PutObject(ctx, s.place.bucket, key, bytes.NewReader(b), int64(len(b)), "", sum(b), minio.PutObjectOptions{DisableContentSha256: true})
	return err
}

func (s *Store) probeGet(ctx context.Context, key string) error {
	got := make([]byte, len(key))
	if _, err := s.readSome(ctx, key, got, 0); err != nil {
		return err
	}
	if string(got) != key {
		return errors.New("what was written was not read back")
	}
	return nil
}

func (s *Store) probeDelete(ctx context.Context, key string) error {
	return s.core.RemoveObject(ctx, s.place.bucket, key, minio.RemoveObjectOptions{})
}

func (s *Store) probeUpload(ctx context.Context, key string) error {
	id, err := s.core.NewMultipartUpload(ctx, s.place.bucket, key, putOptions())
	if err != nil {
		return err
	}
	return s.core.AbortMultipartUpload(ctx, s.place.bucket, key, id)
}

func (s *Store) probeUploads(ctx context.Context, key string) error {
	_, err := s.core.ListMultipartUploads(ctx, s.place.bucket, key, "", "", "", 0)
	return err
}

// refuse says what stands in the way and what to do.
func (s *Store) refuse(ctx context.Context, action string, err error) error {
	bucket, endpoint := s.place.bucket, s.place.endpoint
	switch c := code(err); c {
	case minio.NoSuchBucket:
		return refusal.New("s3_no_bucket", "There is no bucket %s at %s. Create it, for example with: aws s3 mb s3://%s --endpoint-url %s",
			bucket, endpoint, bucket, endpoint)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthorizationHeaderMalformed":
		return refusal.New("s3_credentials", "The service at %s does not accept the credentials (%s). Check AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY, or the profile of ~/.aws/credentials in AWS_PROFILE, this machine's clock, and the region= of %s.", endpoint, c, s.place)
	case minio.AccessDenied:
		return refusal.New("s3_access_denied", "The credentials may not do all that a store needs in %s: %s was denied. Give them the "+
			"permissions that docs/operating.md lists (or check that the bucket is yours).", s.place, action)
	case "":
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", checkLimit)
		}
		return refusal.Wrap(err, "s3_unreachable", "The service at %s cannot be reached: %v. Check the endpoint= of %s, and that "+
			"the service runs and this machine may connect to it.", endpoint, rootCause(err), s.place)
	default:
		return refusal.New("s3_refused", "The service at %s answered %s (status %d) to what needs %s. Check %s.",
			endpoint, c, minio.ToErrorResponse(err).StatusCode, action, s.place)
	}
}

// rootCause leaves out the request that an error wraps.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
