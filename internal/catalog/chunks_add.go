package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/store"
)

// addRows is how many chunks are inserted by one statement: fewer are more round trips to PostgreSQL, more cost time in
// SQLite, which looks up a placeholder by its name among all before it.
const addRows = 25

// adding makes the chunks of a new pack known: those that no other pack has. Of the others it finds where they are and
// pins that.
type adding struct {
	x       *ChunkIndex
	t       *tx
	owner   store.Owner
	pack    int64
	entries []store.Entry
	valid   []store.Location // of each entry, as far as known

	full *sql.Stmt // inserts addRows rows; nil: not prepared yet
}

// run inserts until every chunk is in this pack or in one that is pinned. A second round is for the chunks of packs
// that a sweep took in the middle of the first, on PostgreSQL alone; their rows are gone by then.
func (a *adding) run(ctx context.Context) error {
	// In the order of digests, so that two imports that add the same chunks cannot wait for each other.
	todo := make([]int, len(a.entries))
	for i := range todo {
		todo[i] = i
	}
	slices.SortFunc(todo, func(i, j int) int { return bytes.Compare(a.entries[i].Digest[:], a.entries[j].Digest[:]) })
	lost := false
	for range findTries {
		var taken []int
		for batch := range slices.Chunk(todo, addRows) {
			n, err := a.insert(ctx, batch)
			if err != nil {
				return err
			}
			if n < int64(len(batch)) {
				taken = append(taken, batch...)
				continue
			}
			for _, i := range batch {
				a.valid[i] = a.entries[i].Location
			}
		}
		if len(taken) == 0 {
			return a.noteLost(ctx, lost)
		}
		lost = true
		var err error
		if todo, err = a.rely(ctx, taken); err != nil {
			return err
		}
	}
	return errors.New("the chunk index: packs vanish faster than they can be pinned")
}

// insert inserts the chunks that no pack has and returns how many they were.
func (a *adding) insert(ctx context.Context, batch []int) (int64, error) {
	args := make([]any, 0, 2+5*len(batch))
	args = append(args, a.x.store, a.pack)
	for _, i := range batch {
		e := &a.entries[i]
		args = append(args, e.Digest[:], e.Offset, int64(e.Stored), int64(e.Length), int64(e.Codec))
	}
	if len(batch) < addRows {
		return a.t.exec(ctx, insertText(len(batch)), args...)
	}
	if a.full == nil {
		var err error
		if a.full, err = a.t.sql.PrepareContext(ctx, insertText(addRows)); err != nil {
			return 0, err
		}
	}
	res, err := a.full.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insertText returns the statement that inserts n chunks.
func insertText(n int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO chunk (store_id, digest, object_id, off, stored, length, codec) VALUES `)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		at := 3 + 5*i
		fmt.Fprintf(&b, `($1,$%d,$2,$%d,$%d,$%d,$%d)`, at, at+1, at+2, at+3, at+4)
	}
	b.WriteString(` ON CONFLICT (store_id, digest) DO NOTHING`)
	return b.String()
}

// rely finds where chunks are of which some are in other packs, pins these packs, and returns the chunks whose pack was
// gone before it could be locked.
func (a *adding) rely(ctx context.Context, chunks []int) (again []int, err error) {
	digests := make([]store.Digest, len(chunks))
	for n, i := range chunks {
		digests[n] = a.entries[i].Digest
		a.valid[i] = store.Location{} // what an earlier round saw may be gone
	}
	in := map[packRow][]int{} // pack: chunks
	seen := 0
	err = a.x.rows(ctx, a.t, a.owner.Import, digests, func(n int, r *chunkRow) {
		a.valid[chunks[n]] = r.Location
		p := packRow{r.pack, r.Pack}
		in[p] = append(in[p], chunks[n])
		seen++
	})
	if err != nil {
		return nil, err
	}
	live, err := lockNamed(ctx, a.t, slices.Collect(maps.Keys(in)))
	if err != nil {
		return nil, err
	}
	for p, of := range in {
		if !slices.Contains(live, p.id) {
			again = append(again, of...)
		}
	}
	if seen < len(chunks) { // a row vanished between the two statements
		for _, i := range chunks {
			if a.valid[i].Pack == "" {
				again = append(again, i)
			}
		}
	}
	return again, insertPins(ctx, a.t, a.owner.Import, live)
}

// noteLost lets the sweep look at a pack of which other packs have a part.
func (a *adding) noteLost(ctx context.Context, lost bool) error {
	if !lost {
		return nil
	}
	_, err := a.t.exec(ctx, `INSERT INTO loose (store_id, object_id) VALUES ($1, $2)`, a.x.store, a.pack)
	return err
}
