package catalog

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
)

// A worker that hangs in the middle of a transaction holds its account for seconds, not for ever.
func TestHungTransaction(t *testing.T) {
	database := pgtest.Start(t).Database(t)
	c := openTest(t, database)
	account := c.account(t, "a", image.Quota{})
	for name, want := range map[string]string{"idle_in_transaction_session_timeout": "10s", "lock_timeout": "12s"} {
		var got string
		if err := c.writer.QueryRowContext(t.Context(), "SHOW "+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", name, got, err, want)
		}
	}

	// What the URL says goes before it; a second will do here.
	hung := openTest(t, database+"&idle_in_transaction_session_timeout=1000")
	x, err := hung.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Rollback()
	if _, err := lockAccount(t.Context(), &tx{sql: x, d: hung.d}, account); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	c.create(t, account, "i")
	if took := time.Since(begun); took < 500*time.Millisecond || took > 5*time.Second {
		t.Errorf("another waited %v for the account", took)
	}
	if err := x.Commit(); err == nil {
		t.Error("the transaction went on after all")
	}
}

// A lock that does not come in time is waited for again, and in the end is an answer.
func TestLockTimeout(t *testing.T) {
	database := pgtest.Start(t).Database(t)
	c := openTest(t, database)
	account := c.account(t, "a", image.Quota{})
	hasty := openTest(t, database+"&lock_timeout=50")
	err := c.write(t.Context(), func(x *tx) error {
		if _, err := lockAccount(t.Context(), x, account); err != nil {
			return err
		}
		_, err := hasty.CreateImage(t.Context(), account, image.Create{Name: "i", URL: "https://example.com/i", Region: "nyc3"}, image.IdempotencyKey{})
		var server *pgconn.PgError
		if image.KindOf(err) != image.Busy || !errors.As(err, &server) || server.Code != "55P03" {
			t.Errorf("CreateImage: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
