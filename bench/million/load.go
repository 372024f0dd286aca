package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite

	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/store"
)

// account is a service with one account that has n images: each fourth with the tag "fourth", each tenth public, of one
// kind and the other in turn.
type account struct {
	n       int
	first   int64 // id; the others follow without a gap
	catalog *catalog.Catalog
	server  *httptest.Server
	folder  string
	created []int64
}

const secret = "secret"

func (a *account) close() {
	if a.server != nil {
		a.server.Close()
	}
	if a.catalog != nil {
		a.catalog.Close()
	}
	os.RemoveAll(a.folder)
}

func load(ctx context.Context, database string, n int) (*account, error) {
	a := &account{n: n}
	var err error
	if a.folder, err = os.MkdirTemp("", "ingot-million"); err != nil {
		return nil, err
	}
	started := time.Now()
	if err := a.fill(ctx, database); err != nil {
		a.close()
		return nil, fmt.Errorf("loading %d images: %w", n, err)
	}
	fmt.Fprintf(os.Stderr, "%d images loaded in %.0f s\n", n, time.Since(started).Seconds())
	handler, err := api.New(api.Config{Catalog: a.catalog, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		a.close()
		return nil, err
	}
	a.server = httptest.NewServer(handler)
	return a, nil
}

// fill makes one image as every image is made, and the others from it by SQL: the usual way syncs every single one.
func (a *account) fill(ctx context.Context, database string) error {
	name, db, err := a.open(ctx, database)
	if err != nil {
		return err
	}
	defer db.Close()
	if a.catalog, err = catalog.Open(ctx, name, catalog.Options{Cache: -1}); err != nil {
		return err
	}
	owner, err := a.begin(ctx)
	if err != nil {
		return err
	}
	for _, step := range multiply {
		statement := strings.NewReplacer("{first}", fmt.Sprint(a.first), "{n}", fmt.Sprint(a.n), "{owner}", fmt.Sprint(owner)).Replace(step)
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	_, err = a.catalog.CheckCounters(ctx) // which counts what was loaded
	if err != nil || !a.catalog.Shared() {
		return err
	}
	_, err = db.ExecContext(ctx, "ANALYZE")
	return err
}

// open returns the URL of an empty database for the catalogue, and a connection of our own to it.
func (a *account) open(ctx context.Context, database string) (string, *sql.DB, error) {
	if database == "" {
		file := filepath.Join(a.folder, "catalog.db")
		db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(60000)")
		return "sqlite:" + file, db, err
	}
	schema, separator := fmt.Sprint("million_", a.n), "?"
	if strings.Contains(database, "?") {
		separator = "&"
	}
	name := database + separator + "search_path=" + schema
	db, err := sql.Open("pgx", name)
	if err != nil {
		return "", nil, err
	}
	_, err = db.ExecContext(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE; CREATE SCHEMA "+schema)
	return name, db, err
}

// begin makes the account and its first image.
func (a *account) begin(ctx context.Context) (owner int64, err error) {
	c := a.catalog
	stores, err := c.SetRegions(ctx, map[string]string{"nyc3": "file:/nowhere"})
	if err != nil {
		return 0, err
	}
	acc, err := c.CreateAccount(ctx, image.Account{Name: "million", Email: "million@example.com"})
	if err != nil {
		return 0, err
	}
	if _, err := c.CreateToken(ctx, image.Token{AccountID: acc.ID, Scopes: []string{image.ScopeAll}}, sha256.Sum256([]byte(secret))); err != nil {
		return 0, err
	}
	m, err := c.CreateImage(ctx, acc.ID, image.Create{
		Name: "image", URL: "https://example.com/disk.qcow2", Region: "nyc3", Distribution: "Debian",
		Description: "one of many", Tags: []string{"fourth"},
	}, image.IdempotencyKey{})
	if err != nil {
		return 0, err
	}
	a.first = m.ID
	claim, err := c.Claim(ctx, "million", time.Minute)
	if err != nil {
		return 0, err
	}
	owned := store.Owner{Import: claim.ImageID, Lease: claim.Lease}
	if err := c.Index(stores["nyc3"]).Begin(ctx, owned, store.KindManifest, "manifest"); err != nil {
		return 0, err
	}
	return acc.ID, c.Publish(ctx, *claim, image.Progress{}, store.Written{Object: "manifest", Size: 1, GuestSize: 1 << 30, DataBytes: 1 << 28})
}

// multiply makes n images of the first; {first} has the number 0. The classes of shelves are those of the catalogue.
var multiply = []string{
	`WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < {n} - 1)
	INSERT INTO image (account_id, name, type, distribution, description, slug, kind, public, status, error_message, regions,
		tags, guest_size, data_size, digest, created_at)
	SELECT account_id, name, type, distribution, description, CASE WHEN n % 10 = 0 THEN 'slug-' || n END,
		CASE WHEN n % 20 = 0 THEN 'distribution' WHEN n % 10 = 0 THEN 'application' ELSE '' END,
		n % 10 = 0, status, error_message, regions, CASE WHEN n % 4 = 0 THEN tags ELSE '[]' END, guest_size, data_size, digest, created_at
	FROM image, seq WHERE id = {first} ORDER BY n`,
	`INSERT INTO image_region (image_id, region, store_id, manifest_id)
	SELECT i.id, r.region, r.store_id, r.manifest_id FROM image i, image_region r WHERE r.image_id = {first} AND i.id > {first}`,
	`INSERT INTO import (image_id, account_id, region, state, source, created_at, updated_at)
	SELECT id, account_id, 'nyc3', 'done', '', created_at, created_at FROM image WHERE id > {first}`,
	`INSERT INTO shelf (class, owner, image_id) SELECT 1, 0, id FROM image WHERE id > {first} AND public ORDER BY id`,
	`INSERT INTO shelf (class, owner, image_id) SELECT CASE kind WHEN 'distribution' THEN 2 ELSE 3 END, 0, id FROM image
	WHERE id > {first} AND public ORDER BY id`,
	`INSERT INTO shelf (class, owner, image_id) SELECT 4, {owner}, id FROM image WHERE id > {first} AND NOT public ORDER BY id`,
	`INSERT INTO shelf (class, owner, image_id) SELECT CASE WHEN public THEN 5 ELSE 8 END, t.id, i.id FROM image i, tag t
	WHERE i.id > {first} AND tags <> '[]' ORDER BY i.id`,
	`INSERT INTO shelf (class, owner, image_id) SELECT CASE kind WHEN 'distribution' THEN 6 ELSE 7 END, t.id, i.id FROM image i, tag t
	WHERE i.id > {first} AND tags <> '[]' AND public ORDER BY i.id`,
}
