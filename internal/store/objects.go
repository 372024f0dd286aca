package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"io/fs"
	"iter"
	"strings"
)

// Objects is a place that keeps objects. An object is written once, under a name that nobody else uses, and deleted
// once; it never changes between. A missing object is fs.ErrNotExist. Methods may be called by several goroutines and
// processes at once.
type Objects interface {
	// Create begins an object. Until Commit has returned nothing is seen under the name; ctx covers Commit too.
	Create(ctx context.Context, name string) (ObjectWriter, error)

	// ReadAt fills p from the object at off; fewer bytes are io.ErrUnexpectedEOF.
	ReadAt(ctx context.Context, name string, p []byte, off int64) error

	// Stat returns the object's size in bytes.
	Stat(ctx context.Context, name string) (int64, error)

	// Delete removes the object for good; one that is gone already is no error.
	Delete(ctx context.Context, name string) error

	// List yields every object under a folder, "" for all, in no order. What is created or deleted meanwhile may be
	// missed. An error ends it.
	List(ctx context.Context, folder string) iter.Seq2[ObjectInfo, error]
}

// ObjectWriter writes one object. It ends with Commit or Abort; either may be called again and then does nothing
// more. Use by one goroutine at a time.
type ObjectWriter interface {
	io.Writer

	// Commit makes the object durable and visible, whole. After an error the object may be there or not: delete it.
	Commit() error

	// Abort gives up what was written.
	Abort() error
}

// ObjectInfo is an object as List sees it; Size is in bytes.
type ObjectInfo struct {
	Name string
	Size int64
}

// ValidName says whether an object may have a name: one that every place can take, since a store may be copied from one to
// another, and that leads out of none.
func ValidName(name string) bool {
	return fs.ValidPath(name) && !strings.HasPrefix(name, ".") && !strings.Contains(name, "/.")
}

// newName returns a name for an object that no other process can choose. Two hexadecimal digits of folder keep a
// local folder small: a million packs are 4,000 in each.
func newName(kind Kind) string {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the process first
	name := hex.EncodeToString(id[:])
	return kind.folder() + "/" + name[:2] + "/" + name
}

func (k Kind) folder() string { return string(k) + "s" }

// isName says whether newName may have made a name.
func isName(kind Kind, name string) bool {
	id, ok := strings.CutPrefix(name, kind.folder()+"/")
	if !ok || len(id) != 2+1+32 || id[2] != '/' || id[:2] != id[3:5] {
		return false
	}
	b, err := hex.DecodeString(id[3:])
	return err == nil && hex.EncodeToString(b) == id[3:]
}
