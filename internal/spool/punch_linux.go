package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// create makes a file that never has a name, where the file system can do that.
func create(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return createNamed(dir)
	}
	return os.NewFile(uintptr(fd), "spool"), nil
}

// punch gives a range of a file back to the disk; it reads as zeros then.
func punch(f *os.File, off, n int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	failed := conn.Control(func(fd uintptr) {
		for {
			err = unix.Fallocate(int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
			if err != unix.EINTR {
				return
			}
		}
	})
	if failed != nil {
		return failed
	}
	return err
}
