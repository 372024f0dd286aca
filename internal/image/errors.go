package image

import "errors"

// Kind says what sort of error a request met; the API maps each to one status.
type Kind int

// The kinds of error.
const (
	Invalid   Kind = iota + 1 // 422: a value that will not do
	BadSyntax                 // 400: a body that cannot be parsed
	NotFound                  // 404: absent, or another account's
	Forbidden                 // 403: seen but not allowed
	Gone                      // 422: already deleted
	Busy                      // 503: try again shortly
)

// Error is an error with a message for the client and a cause for the log.
type Error struct {
	Kind    Kind
	Message string
	Cause   error
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

// KindOf returns the kind of the Error in err's chain, or 0.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// The errors that have one text wherever they arise.
var (
	ErrNotFound       = &Error{Kind: NotFound, Message: "The resource you were accessing could not be found."}
	ErrAlreadyDeleted = &Error{Kind: Gone, Message: "Image Can not delete an already deleted image."}
	ErrForbidden      = &Error{Kind: Forbidden, Message: "You do not have access for the attempted action."}
)

// ErrLeaseLost says that a claim is no longer valid: the lease ran out and another worker has it, or the image was
// deleted. The worker must stop and may write nothing more.
var ErrLeaseLost = errors.New("the lease of this import is lost")
