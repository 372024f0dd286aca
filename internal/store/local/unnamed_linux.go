package local

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// hasTmpfile tells whether the folder's file system makes files without a name (open(2), O_TMPFILE) and names them
// later through /proc: tmpfs, ext4, XFS and Btrfs do; NFS and overlays may not.
func hasTmpfile(dir string) bool {
	f, err := createUnnamed(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = os.Stat(procPath(f))
	return err == nil
}

// createUnnamed makes a file that is gone when its last descriptor is closed, by whatever end of the process.
func createUnnamed(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
}

// linkUnnamed gives the file a name that must be free (linkat(2), "/proc/self/fd").
func linkUnnamed(f *os.File, path string) error {
	err := unix.Linkat(unix.AT_FDCWD, procPath(f), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "linkat", Old: "(unnamed)", New: path, Err: err}
	}
	return nil
}

func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
