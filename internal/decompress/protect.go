package decompress

import (
	"fmt"
	"runtime/debug"
)

// protected runs what decodes what strangers send in a goroutine of its own: a panic there is an error of its file, and
// does not end the service.
func protected(work func() error) (err error) {
	defer recoverTo(&err)
	return work()
}

// recoverTo is to be deferred.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("decompress: a panic: %v\n%s", p, debug.Stack())
	}
}
