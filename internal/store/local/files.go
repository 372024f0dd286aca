package local

import (
	"container/list"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keepOpen bounds how long a file stays open from its opening: one that another process deleted keeps its space
// until then. After it the next use opens the file again, or finds it gone.
const keepOpen = 30 * time.Second

// openFile is a file and the readers that use it. The cache counts as one of them.
type openFile struct {
	*os.File
	path   string
	opened time.Time
	users  int
}

// fileCache keeps the files last read open, so that reading a chunk is one system call.
type fileCache struct {
	mu    sync.Mutex
	limit int
	order *list.List // of *openFile, the last used in front
	files map[string]*list.Element
}

func newFileCache(limit int) *fileCache {
	return &fileCache{limit: limit, order: list.New(), files: map[string]*list.Element{}}
}

// get returns the file of a path, to be given back by put.
func (c *fileCache) get(path string) (*openFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.files[path]; ok {
		f := e.Value.(*openFile)
		if time.Since(f.opened) < keepOpen {
			f.users++
			c.order.MoveToFront(e)
			return f, nil
		}
		c.remove(e)
	}
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	f := &openFile{File: file, path: path, opened: time.Now(), users: 2}
	c.files[path] = c.order.PushFront(f)
	for e := c.order.Back(); e != nil && (c.order.Len() > c.limit || time.Since(e.Value.(*openFile).opened) > keepOpen); e = c.order.Back() {
		c.remove(e)
	}
	return f, nil
}

// openRegular opens a file. A folder, or a name below a file, is no object.
func openRegular(path string) (*os.File, error) {
	if _, err := statRegular(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

func statRegular(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, unix.ENOTDIR) || err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
	}
	return info, err
}

func (c *fileCache) put(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(f)
}

// drop forgets a path that is about to be deleted.
func (c *fileCache) drop(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.files[path]; ok {
		c.remove(e)
	}
}

func (c *fileCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Back(); e != nil; e = c.order.Back() {
		c.remove(e)
	}
}

func (c *fileCache) remove(e *list.Element) {
	f := c.order.Remove(e).(*openFile)
	delete(c.files, f.path)
	c.release(f)
}

func (c *fileCache) release(f *openFile) {
	if f.users--; f.users == 0 {
		f.Close()
	}
}
