//go:build !linux

package local

import (
	"errors"
	"os"
)

func hasTmpfile(string) bool { return false }

func createUnnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func linkUnnamed(*os.File, string) error { return errors.ErrUnsupported }
