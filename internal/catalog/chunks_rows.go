package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/store"
)

// chunkRow is a row of chunk with the name of its pack.
type chunkRow struct {
	digest store.Digest
	store.Location
	pack   int64
	pinned bool
}

// lookSizes are the numbers of digests for which there is a query: fewer texts are fewer plans to keep.
var lookSizes = [...]int{8, 32, 128}

// rows calls fn with the row of each digest that has one, by the digest's place in the list, which may name one
// several times. Whether a row's pack is pinned is said of the import.
func (x *ChunkIndex) rows(ctx context.Context, t *tx, importID int64, digests []store.Digest, fn func(int, *chunkRow)) error {
	for at := 0; at < len(digests); {
		n := min(len(digests)-at, lookSizes[len(lookSizes)-1])
		if err := x.someRows(ctx, t, importID, digests[at:at+n], func(i int, r *chunkRow) { fn(at+i, r) }); err != nil {
			return err
		}
		at += n
	}
	return nil
}

func (x *ChunkIndex) someRows(ctx context.Context, t *tx, importID int64, digests []store.Digest, fn func(int, *chunkRow)) error {
	size := 0
	for _, size = range lookSizes {
		if size >= len(digests) {
			break
		}
	}
	places := make(map[store.Digest][]int, len(digests))
	args := make([]any, 0, 2+size)
	args = append(args, x.store, importID)
	for i := range digests {
		places[digests[i]] = append(places[digests[i]], i)
		args = append(args, digests[i][:])
	}
	for len(args) < cap(args) {
		args = append(args, args[len(args)-1])
	}
	return t.each(ctx, `SELECT c.digest, o.name, c.off, c.stored, c.length, c.codec, c.object_id, p.object_id IS NOT NULL
		FROM chunk c JOIN object o ON o.id = c.object_id
		LEFT JOIN pin p ON p.import_id = $2 AND p.object_id = c.object_id
		WHERE c.store_id = $1 AND c.digest IN (`+list(3, size)+`)`, args, func(rows *sql.Rows) error {
		var r chunkRow
		var digest sql.RawBytes
		err := rows.Scan(&digest, &r.Pack, &r.Offset, &r.Stored, &r.Length, &r.Codec, &r.pack, &r.pinned)
		copy(r.digest[:], digest)
		for _, i := range places[r.digest] {
			fn(i, &r)
		}
		return err
	})
}

// list returns n placeholders from $first.
func list(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
	return b.String()
}

// seeLease returns image.ErrLeaseLost unless the import is running under this lease in what the transaction sees.
func seeLease(ctx context.Context, t *tx, o store.Owner) error {
	return checkLease(ctx, t, o.Import, o.Lease, "")
}

// lockLive locks objects, whose ids ascend, until the transaction ends, and returns those that are live.
func lockLive(ctx context.Context, t *tx, all []int64) ([]int64, error) {
	var live []int64
	for in, args := range lists(all) {
		found, err := ids(ctx, t, `SELECT id FROM object WHERE id IN (`+in+`) AND state = 'live' ORDER BY id {{for update}}`, args...)
		if err != nil {
			return nil, err
		}
		live = append(live, found...)
	}
	return live, nil
}

// packRow is a pack as it was found: a pack that is settled keeps its id and changes its name.
type packRow struct {
	id   int64
	name string
}

// lockNamed locks packs until the transaction ends, in the order of their ids, and returns the ids of those that are
// live and where they were found.
func lockNamed(ctx context.Context, t *tx, packs []packRow) ([]int64, error) {
	slices.SortFunc(packs, func(a, b packRow) int { return cmp.Compare(a.id, b.id) })
	all := make([]int64, len(packs))
	names := make(map[packRow]bool, len(packs))
	for i, p := range packs {
		all[i], names[p] = p.id, true
	}
	var live []int64
	for in, args := range lists(all) {
		err := t.each(ctx, `SELECT id, name FROM object WHERE id IN (`+in+`) AND state = 'live' ORDER BY id {{for update}}`, args, func(rows *sql.Rows) error {
			var p packRow
			err := rows.Scan(&p.id, &p.name)
			if names[p] {
				live = append(live, p.id)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return live, nil
}

// insertPins pins packs that the transaction has locked or made.
func insertPins(ctx context.Context, t *tx, importID int64, packs []int64) error {
	for in, args := range lists(packs, importID) {
		_, err := t.exec(ctx, `INSERT INTO pin (import_id, object_id) SELECT CAST($1 AS BIGINT), id FROM object WHERE id IN (`+in+`)
			ON CONFLICT (import_id, object_id) DO NOTHING`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
