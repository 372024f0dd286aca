package s3

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"ingot/internal/store"
)

// List yields every object under a folder. A page that could not be read is asked for again from the last object on.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[store.ObjectInfo, error] {
	return func(yield func(store.ObjectInfo, error) bool) {
		prefix := s.place.prefix
		if folder != "" {
			key, err := s.key(folder)
			if err != nil {
				yield(store.ObjectInfo{}, err)
				return
			}
			prefix = key + "/"
		}
		after := ""
		for try := 1; ; try++ {
			last, more, err := s.listFrom(ctx, prefix, after, func(o store.ObjectInfo) bool { return yield(o, nil) })
			if err == nil || !more {
				return
			}
			if last != after {
				after, try = last, 1
			}
			if try == resumes || code(err) != "" || !pause(ctx, try) {
				yield(store.ObjectInfo{}, failure(ctx, "list", folder, err))
				return
			}
		}
	}
}

// listFrom lists what comes after a key, and returns the last key seen; more says that the rest is wanted.
func (s *Store) listFrom(ctx context.Context, prefix, after string, yield func(store.ObjectInfo) bool) (last string, more bool, err error) {
	noOwner := false
	for o := range s.core.ListObjectsIter(ctx, s.place.bucket, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, StartAfter: after, FetchOwner: &noOwner,
	}) {
		if o.Err != nil {
			return after, true, o.Err
		}
		after = o.Key
		name, ours := strings.CutPrefix(o.Key, s.place.prefix)
		if _, err := s.key(name); !ours || err != nil {
			continue // a folder's own key, a probe, or not of ours at all
		}
		if !yield(store.ObjectInfo{Name: name, Size: o.Size}) {
			return after, false, nil
		}
	}
	return after, true, ctx.Err()
}
