package store

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// failingIndex knows nothing and cannot say so.
type failingIndex struct{ Catalog }

func (failingIndex) Begin(context.Context, Owner, Kind, string) error { return nil }

func (failingIndex) Find(context.Context, Owner, []Digest) ([]Location, error) {
	return nil, errors.New("the database is away")
}

// What a failed write had of the memory that all writes share is theirs again.
func TestAFailedWriteGivesItsMemoryBack(t *testing.T) {
	s, err := New(oneObject{object: &memObject{}}, failingIndex{})
	if err != nil {
		t.Fatal(err)
	}
	guest := bytes.Repeat([]byte{1}, 24<<20)
	for range 10 {
		d := &rangesDisk{bytes.NewReader(guest), [][2]int64{{0, int64(len(guest))}}}
		if _, err := s.Write(t.Context(), Owner{}, d, nil); err == nil {
			t.Fatal("no error")
		}
		if n := len(s.spare); n > 0 {
			t.Fatalf("%d of %d segments are lost to all writes", n, cap(s.spare))
		}
	}
}
