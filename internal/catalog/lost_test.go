package catalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
)

// end ends the connection of a transaction from outside, as an administrator or a failover does, and returns when it is gone.
func (c *Catalog) end(t *testing.T, tx *tx) {
	t.Helper()
	var pid int
	if err := tx.row(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	c.do(t, `SELECT pg_terminate_backend($1)`, pid)
	for there := true; there; time.Sleep(time.Millisecond) {
		err := c.writer.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)`, pid).Scan(&there)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What certainly has not been done may be asked for again; whether a commit that got no answer was done, nobody knows.
func TestPostgresIsLost(t *testing.T) {
	server := pgtest.Start(t)
	c := openTest(t, server.Database(t))
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "x")

	begun := func(ctx context.Context) func(*tx) error {
		return func(tx *tx) error {
			c.end(t, tx)
			_, err := getImage(ctx, tx, m.ID)
			return err
		}
	}
	for name, err := range map[string]error{
		"a read":  c.read(t.Context(), begun(t.Context())),
		"a write": c.write(t.Context(), begun(t.Context())),
	} {
		if image.KindOf(err) != image.Busy {
			t.Errorf("%s whose connection ends: %v", name, err)
		}
	}
	err := c.write(t.Context(), func(tx *tx) error {
		c.end(t, tx)
		return nil
	})
	if err == nil || image.KindOf(err) == image.Busy {
		t.Errorf("a commit that is not answered: %v", err)
	}

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Image(cancelled, a, m.ID); !errors.Is(err, context.Canceled) || image.KindOf(err) == image.Busy {
		t.Errorf("whoever asked is gone: %v", err)
	}

	server.Stop(t)
	_, err = c.Image(t.Context(), a, m.ID)
	if image.KindOf(err) != image.Busy {
		t.Errorf("a read without a server: %v", err)
	}
	if err := c.DeleteImage(t.Context(), a, m.ID); image.KindOf(err) != image.Busy {
		t.Errorf("a write without a server: %v", err)
	}
	server.Restart(t)
	if _, err := c.Image(t.Context(), a, m.ID); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// An image changes hands while somebody waits to lock it: what is locked then is its new owner.
func TestLockImageThatChangesHands(t *testing.T) {
	c := openTest(t, pgtest.Start(t).Database(t))
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	m := c.create(t, a, "x")
	hands, err := c.writer.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer hands.Rollback()
	if _, err := hands.ExecContext(ctx, `SELECT 1 FROM quota WHERE account_id = $1 FOR UPDATE`, a); err != nil {
		t.Fatal(err)
	}
	if _, err := hands.ExecContext(ctx, `UPDATE image SET account_id = $1 WHERE id = $2`, b, m.ID); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		done <- c.write(ctx, func(tx *tx) error {
			r, err := lockImage(ctx, tx, m.ID)
			if err != nil {
				return err
			}
			if r.AccountID != b {
				t.Errorf("the image is account %d's", r.AccountID)
			}
			if _, err := c.writer.ExecContext(ctx, `SELECT 1 FROM quota WHERE account_id = $1 FOR UPDATE NOWAIT`, b); err == nil {
				t.Error("its new owner is not locked")
			}
			return nil
		})
	}()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		err := c.writer.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := hands.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
