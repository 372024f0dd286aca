package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// part is the file that is being made. One pull has it at a time. Beside it lies a mark, the tag of the file that it is to
// become: what is in it is used for no other.
type part struct {
	*os.File
	tag string
}

// openPart takes a part for this process. The kernel frees it when the process ends, however it ends.
func openPart(name, tag string) (*part, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("another pull is writing %s; wait until it has ended, or pull to another file", name)
			}
			return nil, err
		}
		if isAt(f, name) {
			return &part{f, tag}, nil
		}
		f.Close() // who had it before has renamed or removed it since it was opened
	}
}

func isAt(f *os.File, name string) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(own, there)
}

func (p *part) markName() string { return p.Name() + ".etag" }

// resume returns how many bytes an earlier pull of the same file has left, if that is between least and most. Else the
// part is emptied, and marked when that is durable: a mark on another file's bytes would make them this one's.
func (p *part) resume(least, most int64) (int64, error) {
	size, err := p.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	tag, err := os.ReadFile(p.markName())
	if err == nil && string(tag) == p.tag && size >= least && size <= most {
		return size, nil
	}
	if err := p.Truncate(0); err != nil {
		return 0, err
	}
	if err := p.Sync(); err != nil {
		return 0, err
	}
	return 0, writeFileDurably(p.markName(), []byte(p.tag), 0o644)
}

// become makes the part the file. It is still locked meanwhile, so that nobody else writes into what has been checked.
func (p *part) become(file string) error {
	if err := p.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.Name(), file); err != nil {
		return err
	}
	return errors.Join(os.Remove(p.markName()), syncFolder(filepath.Dir(file)), p.Close())
}

// discard takes away a part that is no use to a later pull.
func (p *part) discard() error {
	err := os.Remove(p.markName())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(p.Name()))
}
