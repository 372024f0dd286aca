package catalog

import (
	"fmt"
	"path/filepath"
	"testing"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
)

// fill gives the account n available images, each tenth with the tag "tenth", by SQL: the way through CreateImage syncs
// every single one.
func (c *Catalog) fill(t testing.TB, account int64, n int) {
	t.Helper()
	first := c.create(t, account, "first", "tenth")
	var tag int64
	if err := c.writer.QueryRowContext(t.Context(), `SELECT id FROM tag WHERE account_id = $1`, account).Scan(&tag); err != nil {
		t.Fatal(err)
	}
	c.publish(t, c.claim(t), 1)
	c.do(t, `WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < $2)
		INSERT INTO image (account_id, name, type, distribution, description, kind, public, status, error_message, regions,
			tags, guest_size, data_size, digest, created_at)
		SELECT account_id, name, type, distribution, description, kind, public, status, error_message, regions,
			CASE WHEN n % 10 = 0 THEN tags ELSE '[]' END, guest_size, data_size, digest, created_at
		FROM image, seq WHERE id = $1 ORDER BY n`, first.ID, n-1)
	c.do(t, `INSERT INTO shelf (class, owner, image_id) SELECT 4, account_id, id FROM image
		WHERE account_id = $1 AND id > $2 ORDER BY id`, account, first.ID)
	c.do(t, `INSERT INTO shelf (class, owner, image_id) SELECT 8, $1, id FROM image WHERE account_id = $2 AND id > $3
		AND tags <> '[]' ORDER BY id`, tag, account, first.ID)
	c.do(t, `INSERT INTO import (image_id, account_id, region, state, source, created_at, updated_at)
		SELECT id, account_id, 'nyc3', 'done', '', created_at, created_at FROM image WHERE account_id = $1 AND id > $2`, account, first.ID)
	if _, err := c.CheckCounters(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.d.shared {
		c.do(t, `ANALYZE`)
	}
}

func BenchmarkSQLite(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		c := openTest(b, "sqlite:"+filepath.Join(b.TempDir(), "catalog.db"))
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmark(b, c, n) })
	}
}

func BenchmarkPostgres(b *testing.B) {
	server := pgtest.Start(b)
	for _, n := range []int{1_000, 100_000} {
		c := openTest(b, server.Database(b))
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmark(b, c, n) })
	}
}

func benchmark(b *testing.B, c *Catalog, n int) {
	account := c.account(b, fmt.Sprint("a", b.N, b.Name()), image.Quota{})
	c.fill(b, account, n)
	ctx := b.Context()
	list := func(f image.Filter, number int) func() error {
		return func() error {
			_, _, err := c.ListImages(ctx, account, f, image.Page{Number: number, Size: 20})
			return err
		}
	}
	for _, op := range []struct {
		name string
		run  func() error
	}{
		{"get", func() error { _, err := c.Image(ctx, account, 1); return err }},
		{"progress", func() error { _, err := c.ImportProgress(ctx, account, 1); return err }},
		{"first page", list(image.Filter{}, 1)},
		{"middle page", list(image.Filter{}, n/40)},
		{"last page", list(image.Filter{}, n/20)},
		{"tag, first page", list(image.Filter{Tag: "tenth"}, 1)},
		{"tag, last page", list(image.Filter{Tag: "tenth"}, n/200)},
		{"private, last page", list(image.Filter{Private: true}, n/20)},
		{"authenticate", func() error { c.Authenticate(ctx, [32]byte{1}); return nil }},
		{"claim of nothing", func() error { _, err := c.Claim(ctx, "w", lease); return err }},
		{"create", func() error {
			_, err := c.CreateImage(ctx, account, request("x", "tenth"), image.IdempotencyKey{})
			return err
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			for b.Loop() {
				if err := op.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
