//go:build !linux

package spool

import (
	"errors"
	"os"
)

func create(dir string) (*os.File, error) { return createNamed(dir) }

func punch(*os.File, int64, int64) error { return errors.ErrUnsupported }
