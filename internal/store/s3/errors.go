package s3

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/minio/minio-go/v7"
)

// code returns the service's word for an error, "" for one that did not come from the service.
func code(err error) string { return minio.ToErrorResponse(err).Code }

// serviceError is an error that the service answered. What it says in words is left out: it may repeat the request.
type serviceError struct {
	code    string
	status  int
	request string
}

func (e *serviceError) Error() string {
	return fmt.Sprintf("%s (status %d, request %q)", e.code, e.status, e.request)
}

// failure says what an operation failed of. The context's end is told by its cause.
func failure(ctx context.Context, op, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("s3: %s %s: %w", op, name, context.Cause(ctx))
	}
	answer := minio.ToErrorResponse(err)
	switch answer.Code {
	case "":
	case minio.NoSuchKey:
		err = fs.ErrNotExist
	default:
		err = &serviceError{answer.Code, answer.StatusCode, answer.RequestID}
	}
	return fmt.Errorf("s3: %s %s: %w", op, name, err)
}
