package catalog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"ingot/internal/store"
)

// What concerns many rows is done by few statements: each is a round trip to PostgreSQL.

// lists cuts ids into lists of placeholders, which follow those of the arguments before, and yields each with all its
// arguments. A list is filled up with its last id to one of lookSizes: fewer texts are fewer plans to keep.
func lists(ids []int64, before ...any) iter.Seq2[string, []any] {
	return func(yield func(string, []any) bool) {
		for batch := range slices.Chunk(ids, lookSizes[len(lookSizes)-1]) {
			size := 0
			for _, size = range lookSizes {
				if size >= len(batch) {
					break
				}
			}
			args := slices.Grow(slices.Clone(before), size)
			for i := range size {
				args = append(args, batch[min(i, len(batch)-1)])
			}
			if !yield(list(len(before)+1, size), args) {
				return
			}
		}
	}
}

// values returns n rows of width placeholders from $first, of the types given. The first row says the types, by which
// PostgreSQL knows those of all.
func values(first, n int, types ...string) string {
	var b strings.Builder
	b.WriteString("(VALUES ")
	for row := range n {
		if row > 0 {
			b.WriteByte(',')
		}
		for column, kind := range types {
			sep := "("
			if column > 0 {
				sep = ","
			}
			at := first + row*len(types) + column
			if row == 0 {
				fmt.Fprintf(&b, "%sCAST($%d AS %s)", sep, at, kind)
			} else {
				fmt.Fprintf(&b, "%s$%d", sep, at)
			}
		}
		b.WriteByte(')')
	}
	b.WriteByte(')')
	return b.String()
}

// moveRows says of chunks that are in some packs where they are in another, or in the same one from now on. All of them
// must be there.
func (x *ChunkIndex) moveRows(ctx context.Context, t *tx, entries []store.Entry, to int64, from []int64) error {
	for batch := range slices.Chunk(entries, addRows) {
		args := make([]any, 0, 2+4*len(batch)+len(from))
		args = append(args, x.store, to)
		for i := range batch {
			e := &batch[i]
			args = append(args, e.Digest[:], e.Offset, int64(e.Stored), int64(e.Codec))
		}
		for _, id := range from {
			args = append(args, id)
		}
		n, err := t.exec(ctx, `UPDATE chunk SET object_id = $2, off = v.column2, stored = v.column3, codec = v.column4
			FROM `+values(3, len(batch), "{{bytes}}", "BIGINT", "INTEGER", "INTEGER")+` AS v
			WHERE chunk.store_id = $1 AND chunk.digest = v.column1 AND chunk.object_id IN (`+list(3+4*len(batch), len(from))+`)`, args...)
		if err != nil {
			return err
		}
		if n != int64(len(batch)) {
			return fmt.Errorf("%d of %d chunks from %s on are not in the packs that are rewritten", len(batch)-int(n), len(batch), batch[0].Digest)
		}
	}
	return nil
}
