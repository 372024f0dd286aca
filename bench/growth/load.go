package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver sqlite

	"ingot/bench/service"
)

// random writes a raw disk of which half of each KB is random, unless it is there.
func random(path string, seed uint64, size int) error {
	if info, err := os.Stat(path); err == nil && info.Size() == int64(size) {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(seed, 96))
	w := bufio.NewWriter(f)
	block := make([]byte, 1024)
	for n := range size / len(block) {
		for i := 0; i < len(block)/2; i += 8 {
			binary.LittleEndian.PutUint64(block[i:], rng.Uint64())
		}
		if n == 0 {
			block[510], block[511] = 0x55, 0xaa // an MBR's signature: a raw disk is known by it
		}
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
	return w.Flush()
}

// chunksOfPack is about what a pack of Ingot's has.
const chunksOfPack = 1000

// load makes a data directory whose chunk index has the rows of so many images, unless it is there, and returns its database's size.
func (g growth) load(ctx context.Context, data string, images int) (int64, error) {
	database := filepath.Join(data, "catalog.db")
	if info, err := os.Stat(database); err == nil {
		return info.Size(), nil
	}
	part := data + ".part"
	if err := os.RemoveAll(part); err != nil {
		return 0, err
	}
	s, err := service.Start(ctx, g.binary, part, g.host)
	if err != nil {
		return 0, err
	}
	if err := s.Stop(); err != nil {
		return 0, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(part, "catalog.db"))
	if err != nil {
		return 0, err
	}
	if err := fill(ctx, db, images*g.chunksOfImage); err != nil {
		db.Close()
		return 0, err
	}
	if err := db.Close(); err != nil {
		return 0, err
	}
	if err := os.Rename(part, data); err != nil {
		return 0, err
	}
	info, err := os.Stat(database)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// fill adds rows of chunks: in the order of their digests, which is the fast way into the index, and spread over packs at random, as
// digests are; with a cache of 1 GB, for the index by pack. One manifest names all the packs, so that no sweep takes them.
func fill(ctx context.Context, db *sql.DB, rows int) error {
	if rows == 0 {
		return nil
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000"); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	packs := rows/chunksOfPack + 1
	for _, step := range []string{
		`WITH RECURSIVE seq (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM seq WHERE n < ?1)
		INSERT INTO object (id, store_id, name, kind, state, size) SELECT 1000 + n, 1, 'synthetic-' || n, 'pack', 'live', 32000000 FROM seq`,
		`INSERT INTO object (id, store_id, name, kind, state, size) SELECT 1000, 1, 'synthetic', 'manifest', 'live', 1000 WHERE ?1 > 0`,
		`INSERT INTO manifest (id, store_id, digest, object_id, guest_size, data_size) SELECT 1000, 1, x'00', 1000, 1, 1 WHERE ?1 > 0`,
		`INSERT INTO manifest_pack (manifest_id, object_id, bytes) SELECT 1000, id, 32000000 FROM object WHERE id > 1000 AND ?1 > 0`,
	} {
		if _, err := tx.ExecContext(ctx, step, packs); err != nil {
			return fmt.Errorf("%.60s: %w", step, err)
		}
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO chunk (store_id, digest, object_id, off, stored, length, codec) VALUES (1, ?, ?, ?, 17000, 37000, 1)")
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	step := ^uint64(0) / uint64(rows)
	for i := range rows {
		digest := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
		binary.BigEndian.PutUint64(digest[:], uint64(i)*step+rng.Uint64N(step))
		if _, err := insert.ExecContext(ctx, digest[:], 1001+rng.IntN(packs), 17000*rng.IntN(chunksOfPack)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// stillThere makes sure that what was measured was measured beside what was loaded.
func stillThere(ctx context.Context, data string, rows int) error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "catalog.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM chunk").Scan(&n); err != nil {
		return err
	}
	if n <= rows {
		return fmt.Errorf("the chunk index has %d rows after the import, and had %d before it", n, rows)
	}
	return nil
}
