package catalog

import (
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/refusal"
)

// wantNone fails the test if an import can be claimed.
func (c *Catalog) wantNone(t *testing.T, when string) {
	t.Helper()
	if claim, err := c.Claim(t.Context(), "w", lease); claim != nil || err != nil {
		t.Errorf("%s: claimed %+v, %v", when, claim, err)
	}
}

func testRetry(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "one")
	busy := refusal.Passing(nil, "source_503", "The source is busy.")
	if err := c.Retry(ctx, c.claim(t), time.Now().Add(20*time.Minute), busy); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, a, change{images: 1, queued: 1})
	if got := c.image(t, a, m.ID); got.Status != image.Pending || got.ErrorMessage != "" {
		t.Errorf("image %+v", got)
	}
	wantProgress(t, c, m, image.Progress{Phase: image.PhaseQueued, Attempt: 2, ErrorCode: busy.Code, ErrorMessage: busy.Message})
	c.wantNone(t, "before its time")
	c.do(t, `UPDATE import SET not_before = not_before - $1`, (21 * time.Minute).Milliseconds())
	claim := c.claim(t)
	if claim.Attempt != 2 {
		t.Errorf("attempt %d, want 2", claim.Attempt)
	}
	if err := c.Retry(ctx, claim, time.Now().Add(-time.Hour), busy); err != nil {
		t.Fatal(err)
	}
	c.publish(t, c.claim(t), 1)
	wantProgress(t, c, m, image.Progress{Phase: image.PhaseDone, Attempt: 3})
}

func testRelease(t *testing.T, c *Catalog) {
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "one")
	claim := c.claim(t)
	if err := c.Release(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	c.wantHolding(t, a, change{images: 1, queued: 1})
	wantProgress(t, c, m, image.Progress{Phase: image.PhaseQueued, Attempt: 1})
	again := c.claim(t)
	if again.Attempt != 1 || again.Broken != 0 || again.Lease == claim.Lease {
		t.Errorf("claim %+v after %+v", again, claim)
	}
}

// enders are all that a worker can do under its lease.
func (c *Catalog) enders(t *testing.T, claim image.Claim) map[string]func() error {
	ctx := t.Context()
	return map[string]func() error{
		"Renew":   func() error { return c.Renew(ctx, claim, lease) },
		"Report":  func() error { return c.Report(ctx, claim, image.Progress{}) },
		"Release": func() error { return c.Release(ctx, claim) },
		"Retry":   func() error { return c.Retry(ctx, claim, time.Now(), refusal.New("c", "m")) },
		"Fail":    func() error { return c.Fail(ctx, claim, "c", "m") },
		"Publish": func() error { return c.Publish(ctx, claim, image.Progress{}, written("x", 1)) },
	}
}

func (c *Catalog) wantLost(t *testing.T, claim image.Claim, when string) {
	t.Helper()
	for name, end := range c.enders(t, claim) {
		wantErr(t, name+" "+when, end(), image.ErrLeaseLost)
	}
}

func testLostLease(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	deleted := c.create(t, a, "deleted")
	claim := c.claim(t)
	if err := c.DeleteImage(ctx, a, deleted.ID); err != nil {
		t.Fatal(err)
	}
	c.wantLost(t, claim, "after the image was deleted")
	c.wantHolding(t, a, change{})

	m := c.create(t, a, "taken over")
	old := c.claim(t)
	c.do(t, `UPDATE import SET lease_until = 1 WHERE state = 'running'`)
	if err := c.Renew(ctx, old, lease); err != nil {
		t.Errorf("a lease that ran out and that nobody took: %v", err)
	}
	c.do(t, `UPDATE import SET lease_until = 1 WHERE state = 'running'`)
	now := c.claim(t)
	if now.ImageID != m.ID {
		t.Fatalf("claimed %d", now.ImageID)
	}
	c.wantLost(t, old, "after another has it")
	invented := now
	invented.Lease = ""
	c.wantLost(t, invented, "under no lease")
	c.publish(t, now, 1)
	c.wantLost(t, old, "after another has published it")
	c.wantHolding(t, a, change{images: 1, bytes: 1})
}

// A worker whose answer was lost asks again, and must not be told that it lost its lease.
func testFinishedTwice(t *testing.T, c *Catalog) {
	a := c.account(t, "a", image.Quota{})
	for _, name := range []string{"Release", "Retry", "Fail", "Publish"} {
		c.create(t, a, name)
		claim := c.claim(t)
		if name == "Publish" {
			c.begin(t, claim, written("x", 1))
		}
		for n := range 2 {
			if err := c.enders(t, claim)[name](); err != nil {
				t.Errorf("%s, time %d: %v", name, n+1, err)
			}
		}
		for other, end := range c.enders(t, claim) {
			if other != name && !(name == "Release" && other == "Retry") && !(name == "Retry" && other == "Release") {
				wantErr(t, other+" after "+name, end(), image.ErrLeaseLost)
			}
		}
		if name == "Release" || name == "Retry" {
			c.publish(t, c.claim(t), 1)
		}
	}
	c.wantHolding(t, a, change{images: 3, bytes: 3})
}

func testTakeover(t *testing.T, c *Catalog) {
	a := c.account(t, "a", image.Quota{})
	m := c.create(t, a, "one")
	first, err := c.Claim(t.Context(), "dead", time.Millisecond)
	if err != nil || first == nil {
		t.Fatalf("%v, %v", first, err)
	}
	time.Sleep(20 * time.Millisecond)
	second := c.claim(t)
	if second.ImageID != m.ID || second.Broken != 1 || second.Attempt != 1 {
		t.Errorf("took over %+v", second)
	}
	c.wantHolding(t, a, change{images: 1, running: 1})
	c.wantNone(t, "a lease that is valid")
}

func testClockGoesBack(t *testing.T, c *Catalog) {
	a := c.account(t, "a", image.Quota{})
	c.create(t, a, "one")
	c.claim(t)
	c.do(t, `UPDATE import SET lease_until = lease_until + $1`, (30 * time.Second).Milliseconds())
	c.wantNone(t, "half a lease ahead")
	c.do(t, `UPDATE import SET lease_until = lease_until + $1`, (24 * time.Hour).Milliseconds())
	claim := c.claim(t)
	if err := c.Retry(t.Context(), claim, time.Now().Add(48*time.Hour), refusal.New("c", "m")); err != nil {
		t.Fatal(err)
	}
	c.wantNone(t, "an hour at most")
	c.do(t, `UPDATE import SET not_before = not_before + $1`, (24 * time.Hour).Milliseconds())
	c.claim(t)
}

func testReleaseAll(t *testing.T, c *Catalog) {
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	for _, account := range []int64{a, b, a} {
		c.create(t, account, "x")
	}
	first, second := c.claim(t), c.claim(t)
	if err := c.ReleaseAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wantLost(t, first, "after ReleaseAll")
	c.wantLost(t, second, "after ReleaseAll")
	c.wantHolding(t, a, change{images: 2, queued: 2})
	c.wantHolding(t, b, change{images: 1, queued: 1})
	for range 3 {
		c.publish(t, c.claim(t), 1)
	}
}

func testTurns(t *testing.T, c *Catalog) {
	names := map[int64]string{}
	busy := c.account(t, "busy", image.Quota{})
	bounded := c.account(t, "bounded", image.Quota{Imports: 4})
	late := c.account(t, "late", image.Quota{})
	for account, n := range map[int64]int{busy: 6, bounded: 4} {
		for range n {
			c.create(t, account, "x")
		}
	}
	c.create(t, late, "x")
	c.do(t, `UPDATE quota SET max_imports = 2 WHERE account_id = $1`, bounded)
	names[busy], names[bounded], names[late] = "busy", "bounded", "late"
	seen := map[string]int{}
	last := map[string]int64{}
	for n := range 9 {
		claim := c.claim(t)
		name := names[claim.AccountID]
		seen[name]++
		if claim.ImageID <= last[name] {
			t.Errorf("image %d after %d", claim.ImageID, last[name])
		}
		last[name] = claim.ImageID
		if n == 2 && (seen["busy"] != 1 || seen["bounded"] != 1 || seen["late"] != 1) {
			t.Errorf("the first three claims: %v", seen)
		}
	}
	if seen["busy"] != 6 || seen["bounded"] != 2 || seen["late"] != 1 {
		t.Errorf("claims %v", seen)
	}
	c.wantNone(t, "the bounded account runs two")
}
