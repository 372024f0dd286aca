package fleet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
)

// What an import costs PostgreSQL is in docs/operating.md. What polls and reports cost depends on the time, so it is told
// alone; what makes chunks known must not become dearer.
func TestLoadOnPostgres(t *testing.T) {
	server := pgtest.Start(t, "shared_preload_libraries=pg_stat_statements", "pg_stat_statements.max=10000")
	f := fleetOn(t, server.Database(t))
	h := watchHistory(t, f)
	h.do(t, `CREATE EXTENSION pg_stat_statements`)
	const imports, size = 10, 16 << 20
	o := &origin{byName: map[string]source{}}
	for n := range imports {
		disk := make([]byte, size)
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		for i := range disk {
			disk[i] = byte(rng.Uint32())
		}
		copy(disk[510:], []byte{0x55, 0xaa})
		o.add(source{name: fmt.Sprint(n, ".raw"), file: disk, disk: disk})
	}
	o.listen(t)
	f.args = append(f.args, "--allow-source", o.allow())
	f.start(t)
	var statements, commits [2]int
	count := func(i int) {
		h.row(t, `SELECT sum(calls) FILTER (WHERE query NOT LIKE '%pg_stat%' AND query !~* '^(begin|commit|rollback|deallocate)'),
			sum(calls) FILTER (WHERE query ~* '^commit') FROM pg_stat_statements`, &statements[i], &commits[i])
	}
	quiet := func() (perSecond int) {
		count(0)
		time.Sleep(10 * time.Second)
		count(1)
		return (statements[1] - statements[0]) / 10
	}
	idle := quiet()
	count(0)
	begun := time.Now()
	accepted := map[int64]source{}
	for n, s := range o.sources {
		accepted[f.create(t, 0, fmt.Sprint("load ", n), map[string]any{"name": "x", "url": o.url(s), "region": "nyc3"})] = s
	}
	var running int
	f.eventually(t, "all imports end", func() bool {
		h.row(t, `SELECT count(*) FROM import WHERE state <> 'done'`, &running)
		return running == 0
	})
	count(1)
	seconds := int(time.Since(begun).Seconds()) + 1
	each := (statements[1] - statements[0] - idle*seconds) / imports
	var connections, chunks, objects, refs, tables int
	h.row(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`, &connections)
	h.row(t, `SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM object), (SELECT count(*) FROM manifest_pack),
		pg_total_relation_size('chunk')`, &chunks, &objects, &refs, &tables)
	t.Logf("idle: %d statements a second for %d processes; an import of %d MiB of new data: about %d statements, %d commits; rows: %d of chunk (%d bytes each, indexes included), "+
		"%d of object, %d of manifest_pack; %d connections of %d processes", idle, len(f.members), size>>20, each,
		(commits[1]-commits[0])/imports, chunks/imports, tables/max(chunks, 1), objects/imports, refs/imports, connections, len(f.members))
	for id := range accepted {
		if !bytes.Equal(f.content(t, id), accepted[id].disk) {
			t.Errorf("image %d differs", id)
		}
	}
	var inserts int
	h.row(t, `SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE 'INSERT INTO chunk %' OR query LIKE 'INSERT INTO pin %'
		OR query LIKE 'INSERT INTO object %' OR query LIKE 'INSERT INTO manifest_pack %'`, &inserts)
	if inserts/imports > 50 || inserts < 5*imports {
		t.Errorf("an import takes %d statements to make %d chunks known", inserts/imports, chunks/imports)
	}
}
