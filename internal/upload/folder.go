package upload

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// folderName is the file that names a folder of uploads. It goes where the folder goes.
const folderName = ".folder"

// FolderID returns the name that a folder of uploads has for the processes that share it. A folder that has none is
// made, or given one; of several processes that do so at once, all return the same.
func FolderID(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	name := filepath.Join(dir, folderName)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		if err := makeFolderID(dir, name); err != nil {
			return "", err
		}
	}
	b, err := os.ReadFile(name)
	id := strings.TrimSpace(string(b))
	if err == nil && id == "" {
		err = fmt.Errorf("%s is empty; delete it if no other process uses the folder", name)
	}
	return id, err
}

// makeFolderID gives the file its name once it is whole: who is second finds it there.
func makeFolderID(dir, name string) error {
	f, err := os.CreateTemp(dir, folderName+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(strings.ToLower(rand.Text()) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
