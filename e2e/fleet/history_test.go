package fleet

import (
	"database/sql"
	"errors"
	"strconv"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"ingot/e2e/harness"
)

// history is the database's own evidence: triggers write down every claim, every lease that ran out and every end of an
// import, whoever causes it.
type history struct{ db *sql.DB }

func watchHistory(t *testing.T, f *fleet) *history {
	t.Helper()
	db, err := sql.Open("pgx", f.database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &history{db}
	h.do(t, `CREATE TABLE event (id BIGINT GENERATED ALWAYS AS IDENTITY, image_id BIGINT, what TEXT, lease TEXT, lease_ms BIGINT, late BIGINT, worker TEXT, at_ms BIGINT)`)
	h.do(t, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.state = 'running' AND NEW.lease <> OLD.lease THEN
			INSERT INTO event (image_id, what, lease, lease_ms, worker, at_ms)
				VALUES (NEW.image_id, 'claim', NEW.lease, NEW.lease_ms, NEW.worker, extract(epoch FROM clock_timestamp()) * 1000);
		ELSIF OLD.state = 'running' AND NEW.state = 'queued' AND NEW.broken > OLD.broken THEN
			INSERT INTO event (image_id, what, lease, lease_ms, late) VALUES (NEW.image_id, 'taken back', OLD.lease, OLD.lease_ms, NEW.updated_at - OLD.lease_until);
		ELSIF NEW.state <> OLD.state AND NEW.state IN ('done', 'failed') THEN
			INSERT INTO event (image_id, what, lease) VALUES (NEW.image_id, NEW.state, OLD.lease);
		END IF; RETURN NEW; END $$`)
	h.do(t, `CREATE TRIGGER note AFTER UPDATE ON import FOR EACH ROW EXECUTE FUNCTION note()`)
	return h
}

func (h *history) do(t *testing.T, statement string) {
	t.Helper()
	if _, err := h.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func (h *history) row(t *testing.T, query string, into ...any) {
	t.Helper()
	if err := h.db.QueryRowContext(t.Context(), query).Scan(into...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// wantFenced wants every accepted import ended once, under the lease of its last claim, and every import of a worker
// that died or hung with another within the time that its lease allows.
func (h *history) wantFenced(t *testing.T, accepted map[int64]source) {
	t.Helper()
	for _, test := range []struct {
		what, query string
		want        int
	}{
		{"imports ended", `SELECT count(*) FROM event WHERE what IN ('done', 'failed')`, len(accepted)},
		{"images whose import ended", `SELECT count(DISTINCT image_id) FROM event WHERE what IN ('done', 'failed')`, len(accepted)},
		{"images", `SELECT count(*) FROM image`, len(accepted)},
		{"imports ended under another lease than that of their last claim", `SELECT count(*) FROM event e WHERE what IN ('done', 'failed') AND lease <>
			(SELECT lease FROM event c WHERE c.image_id = e.image_id AND c.what = 'claim' ORDER BY id DESC LIMIT 1)`, 0},
		{"events after an import's end", `SELECT count(*) FROM event e JOIN event d ON d.image_id = e.image_id AND d.what IN ('done', 'failed') AND e.id > d.id`, 0},
		{"imports whose attempts are not one", `SELECT count(*) FROM import WHERE attempts <> 1`, 0},
		{"imports taken away before their lease was over", `SELECT count(*) FROM event WHERE late < 0`, 0},
		{"leases of another length", `SELECT count(*) FROM event WHERE lease_ms <> ` + ms(lease), 0},
		{"imports taken back late", `SELECT count(*) FROM event WHERE late > ` + ms(harness.Patience), 0},
	} {
		var n int
		if h.row(t, test.query, &n); n != test.want {
			t.Errorf("%s: %d, want %d", test.what, n, test.want)
		}
	}
	var taken, slowest int
	h.row(t, `SELECT count(*), coalesce(max(late), 0) FROM event WHERE what = 'taken back'`, &taken, &slowest)
	t.Logf("%d imports were taken from workers that died or hung; each at most %v after its lease of %v", taken, time.Duration(slowest)*time.Millisecond, lease)
	if taken == 0 {
		t.Error("no import lost its worker: the test shows nothing")
	}
}

// now is the database's time, by which leases end.
func (h *history) now(t *testing.T) (at time.Time) {
	t.Helper()
	h.row(t, `SELECT clock_timestamp()`, &at)
	return at
}

// claim returns the nth claim of an import, counted from 0: its worker and when it was.
func (h *history) claim(t *testing.T, id int64, n int) (worker string, at time.Time, ok bool) {
	t.Helper()
	var ms int64
	err := h.db.QueryRowContext(t.Context(), `SELECT worker, at_ms FROM event WHERE image_id = $1 AND what = 'claim' ORDER BY id LIMIT 1 OFFSET $2`, id, n).Scan(&worker, &ms)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	return worker, time.UnixMilli(ms), err == nil
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
