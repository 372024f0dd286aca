// Package refusal knows why a source or a file is refused: a stable code for programs and a sentence that says
// what is wrong and what would do.
package refusal

import (
	"errors"
	"fmt"
	"time"
)

// Error is a reason to end an import. Message goes to the client as it is and so holds no secret, no path of this
// machine and no address that the client did not give; Cause goes to the log alone.
type Error struct {
	Code    string // stable, lower case with underscores: "qcow2_backing_file"
	Message string // a sentence or two: what is wrong, and what to do
	Cause   error  // may be nil

	Temporary  bool          // another attempt may succeed
	RetryAfter time.Duration // what the source asked for; zero: it did not say
}

// New returns a permanent refusal.
func New(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns a permanent refusal with a cause for the log.
func Wrap(cause error, code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// Passing returns a refusal that another attempt may overcome.
func Passing(cause error, code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause, Temporary: true}
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Code + ": " + e.Message
	}
	return e.Code + ": " + e.Message + " (" + e.Cause.Error() + ")"
}

func (e *Error) Unwrap() error { return e.Cause }

// As returns the refusal in err's chain, or nil.
func As(err error) *Error {
	var r *Error
	if errors.As(err, &r) {
		return r
	}
	return nil
}
