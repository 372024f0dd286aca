package catalog

import (
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/image"
	"ingot/internal/refusal"
	"ingot/internal/store"
)

// transfer queues a transfer of an image to lon1, which is on another store.
func (c *Catalog) transfer(t testing.TB, account, id int64) image.Action {
	t.Helper()
	a, err := c.Act(t.Context(), account, id, image.Act{Type: image.Transfer, Region: "lon1"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// replication returns the next transfer, of which there must be one.
func (c *Catalog) replication(t testing.TB) image.Claim {
	t.Helper()
	claim, err := c.Replications().Claim(t.Context(), "w", lease)
	if err != nil {
		t.Fatal(err)
	}
	if claim == nil {
		t.Fatal("no transfer waits")
	}
	return *claim
}

// copied does what a worker does before a transfer is complete.
func (c *Catalog) copied(t testing.TB, claim image.Claim) store.Written {
	t.Helper()
	m := c.image(t, claim.AccountID, claim.ImageID)
	w := written(claim.Lease, m.DataSize)
	if _, err := hex.Decode(w.Manifest[:], []byte(m.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := c.Index(claim.StoreID).Begin(t.Context(), owner(claim), store.KindManifest, w.Object); err != nil {
		t.Fatal(err)
	}
	return w
}

func (c *Catalog) replicated(t testing.TB, claim image.Claim) {
	t.Helper()
	if err := c.Replications().Complete(t.Context(), claim, image.Progress{}, c.copied(t, claim)); err != nil {
		t.Fatal(err)
	}
}

func (c *Catalog) wantAction(t testing.TB, account int64, a image.Action, want image.ActionStatus) {
	t.Helper()
	got, err := c.Action(t.Context(), account, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != want || got.CompletedAt.IsZero() != (want == image.InProgress) {
		t.Errorf("action %+v, want it %s", got, want)
	}
}

// count runs a query for a number.
func (c *Catalog) count(t testing.TB, query string, args ...any) (n int64) {
	t.Helper()
	if err := c.writer.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func testReplication(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	m := c.available(t, a, "x")
	act := c.transfer(t, a, m.ID)
	if act.Status != image.InProgress || !act.CompletedAt.IsZero() || act.Region != "lon1" {
		t.Errorf("%+v", act)
	}
	_, err := c.Act(ctx, a, m.ID, image.Act{Type: image.Transfer, Region: "lon1"})
	wantInvalid(t, "while it is on its way", err, fmt.Sprintf("action %d", act.ID))
	c.wantNone(t, "a transfer is no import")

	claim := c.replication(t)
	if claim.ImageID != m.ID || claim.Action != act.ID || claim.Attempt != 1 || claim.Region != "lon1" || claim.Job() != -act.ID {
		t.Errorf("claim %+v", claim)
	}
	source, err := c.Replications().Source(ctx, claim)
	if err != nil || source.ImageID != m.ID || source.StoreID == claim.StoreID {
		t.Errorf("source %+v, %v", source, err)
	}
	if err := c.Replications().Report(ctx, claim, image.Progress{GuestBytes: 7, GuestSize: 9}); err != nil {
		t.Fatal(err)
	}
	all, err := c.ListReplications(ctx, 0, 10)
	if err != nil || len(all) != 1 || all[0].State != "running" || all[0].GuestBytes != 7 || all[0].Account != "a" || all[0].Attempt != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	if diff := cmp.Diff([]string{"nyc3"}, c.image(t, a, m.ID).Regions); diff != "" {
		t.Error(diff)
	}
	c.replicated(t, claim)
	c.wantAction(t, a, act, image.Completed)
	if diff := cmp.Diff([]string{"lon1", "nyc3"}, c.image(t, a, m.ID).Regions); diff != "" {
		t.Error(diff)
	}
	content, err := c.Content(ctx, a, m.ID)
	if err != nil || len(content.Places()) != 2 || content.StoreID != claim.StoreID || content.Others[0] != source.Place {
		t.Errorf("content %+v, %v", content, err)
	}
	c.wantHolding(t, a, change{images: 1, bytes: 1000})
	total, images, err := c.Usage(ctx, a, image.Page{Number: 1, Size: 10})
	if err != nil || total.Logical != 1000 || total.Stored != 200 || len(images) != 1 {
		t.Errorf("a manifest of 100 bytes in each of two stores: %+v, %v", total, err)
	}
	if err := c.DeleteImage(ctx, a, m.ID); err != nil {
		t.Fatal(err)
	}
	if n := c.count(t, `SELECT count(*) FROM object WHERE state <> 'dead'`) + c.count(t, `SELECT count(*) FROM pin`); n != 0 {
		t.Errorf("%d objects and pins are left", n)
	}
}

// What a replication has pinned is held through every end of an attempt but the last, and free after that.
func testReplicationEnds(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, q := c.account(t, "a", image.Quota{}), c.Replications()
	busy := refusal.Passing(nil, "busy", "The store is busy.")
	for _, test := range []struct {
		name   string
		end    func(image.Claim) error
		status image.ActionStatus
	}{
		{"release", func(claim image.Claim) error { return q.Release(ctx, claim) }, image.InProgress},
		{"retry", func(claim image.Claim) error { return q.Retry(ctx, claim, time.Now(), busy) }, image.InProgress},
		{"death", func(image.Claim) error { return c.ReleaseAll(ctx) }, image.InProgress},
		{"fail", func(claim image.Claim) error { return q.Fail(ctx, claim, "code", "The reason.") }, image.Errored},
		{"delete", func(claim image.Claim) error { return c.DeleteImage(ctx, a, claim.ImageID) }, image.Errored},
		{"complete", func(claim image.Claim) error { return q.Complete(ctx, claim, image.Progress{}, c.copied(t, claim)) }, image.Completed},
	} {
		m := c.available(t, a, test.name)
		act := c.transfer(t, a, m.ID)
		claim := c.replication(t)
		entry := store.Entry{Digest: store.Digest{byte(act.ID)}, Location: store.Location{Pack: "packs/" + test.name, Offset: 16, Stored: 1, Length: 1}}
		x := c.Index(claim.StoreID)
		if err := x.Begin(ctx, owner(claim), store.KindPack, entry.Pack); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Add(ctx, owner(claim), entry.Pack, 100, []store.Entry{entry}); err != nil {
			t.Fatal(err)
		}
		if err := test.end(claim); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		c.wantAction(t, a, act, test.status)
		if _, err := x.Condemn(ctx); err != nil {
			t.Fatal(err)
		}
		again := test.status == image.InProgress
		if found, err := x.Locate(ctx, []store.Digest{entry.Digest}); err != nil || (found[0].Pack != "") != again {
			t.Errorf("%s: after a sweep the chunk is at %+v, %v", test.name, found, err)
		}
		_, err := x.Find(ctx, owner(claim), []store.Digest{entry.Digest})
		wantErr(t, test.name+": Find", err, image.ErrLeaseLost)
		if again {
			claim = c.replication(t)
			if claim.Action != act.ID {
				t.Fatalf("%s: then came %+v", test.name, claim)
			}
			if err := q.Fail(ctx, claim, "code", "The reason."); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := c.ListReplications(ctx, time.Hour, 10)
	if err != nil || len(all) != 6 {
		t.Fatalf("%d, %v", len(all), err)
	}
	if r := all[2]; r.State != "failed" || r.ErrorMessage != "The reason." || r.ErrorCode != "code" {
		t.Errorf("%+v", r)
	}
	c.wantHolding(t, a, change{images: 5, bytes: 5000})
}

func testReplicationLost(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, q := c.account(t, "a", image.Quota{}), c.Replications()
	m := c.available(t, a, "x")
	act := c.transfer(t, a, m.ID)
	old := c.replication(t)
	c.do(t, `UPDATE replication SET lease_until = 1`)
	if err := q.Renew(ctx, old, lease); err != nil {
		t.Errorf("a lease that ran out and that nobody took: %v", err)
	}
	c.do(t, `UPDATE replication SET lease_until = 1`)
	now := c.replication(t)
	if now.Action != act.ID || now.Broken != 1 || now.Attempt != 1 {
		t.Fatalf("claim %+v", now)
	}
	lost := func(when string) {
		t.Helper()
		for name, err := range map[string]error{
			"Renew":    q.Renew(ctx, old, lease),
			"Report":   q.Report(ctx, old, image.Progress{}),
			"Release":  q.Release(ctx, old),
			"Retry":    q.Retry(ctx, old, time.Now(), refusal.New("c", "m")),
			"Fail":     q.Fail(ctx, old, "c", "m"),
			"Complete": q.Complete(ctx, old, image.Progress{}, written("x", 1)),
			"Begin":    c.Index(old.StoreID).Begin(ctx, owner(old), store.KindPack, "packs/"+when),
		} {
			wantErr(t, name+" "+when, err, image.ErrLeaseLost)
		}
	}
	lost("after another has it")
	w := c.copied(t, now)
	w.Manifest[0]++
	if err := q.Complete(ctx, now, image.Progress{}, w); err == nil {
		t.Error("other content was taken for a copy")
	}
	w.Manifest[0]--
	for n := range 2 { // the second time, the answer to the first was lost
		if err := q.Complete(ctx, now, image.Progress{}, w); err != nil {
			t.Errorf("Complete for the %d. time: %v", n+1, err)
		}
	}
	lost("after another has completed it")
	if claim, err := q.Claim(ctx, "w", lease); claim != nil || err != nil {
		t.Errorf("claimed %+v, %v", claim, err)
	}
	if err := c.DeleteImage(ctx, a, m.ID); err != nil {
		t.Fatal(err)
	}
	c.wantAction(t, a, act, image.Completed)
}

func testReplicationRegions(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	regions := map[string]string{"nyc3": "file:a", "fra1": "file:a", "lon1": "file:b", "lon2": "file:b"}
	if _, err := c.SetRegions(ctx, regions); err != nil {
		t.Fatal(err)
	}
	in := request("x")
	in.Type = image.Snapshot
	m, err := c.CreateImage(ctx, a, in, image.IdempotencyKey{})
	if err != nil {
		t.Fatal(err)
	}
	c.publish(t, c.claim(t), 1000)
	act := c.transfer(t, a, m.ID)

	// Until it has ended the region stays where it is, and the image with its account.
	regions["lon1"] = "file:c"
	if _, err := c.SetRegions(ctx, regions); err == nil {
		t.Error("a region moved to another store while an image was on its way to it")
	}
	recipient, err := c.Account(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := c.OfferImage(ctx, a, m.ID, image.Offer{RecipientUUID: recipient.UUID})
	if err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, "accept", c.AcceptImage(ctx, b, m.ID, offer, recipient.UUID), "lon1")

	second, err := c.Act(ctx, a, m.ID, image.Act{Type: image.Transfer, Region: "lon2"})
	if err != nil || second.Status != image.InProgress {
		t.Fatalf("%+v, %v", second, err)
	}
	first := c.replication(t)
	if first.Action != act.ID {
		t.Fatalf("claim %+v", first)
	}
	other := c.replication(t)
	c.replicated(t, other)
	c.replicated(t, first) // the store has the manifest by now, and keeps that
	if diff := cmp.Diff([]string{"lon1", "lon2", "nyc3"}, c.image(t, a, m.ID).Regions); diff != "" {
		t.Error(diff)
	}
	if content, err := c.Content(ctx, a, m.ID); err != nil || len(content.Places()) != 2 {
		t.Errorf("%+v, %v", content, err)
	}
	if err := c.AcceptImage(ctx, b, m.ID, offer, recipient.UUID); err != nil {
		t.Error(err)
	}
	if err := c.DeleteImage(ctx, b, m.ID); err != nil {
		t.Fatal(err)
	}
	if n := c.count(t, `SELECT count(*) FROM manifest`); n != 0 {
		t.Errorf("%d manifests are left", n)
	}
}

// Where a check found a copy damaged, a transfer brings it back from another store.
func testReplicationMends(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	m := c.available(t, a, "x")
	c.transfer(t, a, m.ID)
	claim := c.replication(t)
	c.replicated(t, claim)
	c.do(t, `UPDATE manifest SET damaged = TRUE WHERE store_id = $1`, claim.StoreID)
	if content, err := c.Content(ctx, a, m.ID); err != nil || content.StoreID == claim.StoreID || len(content.Others) != 0 {
		t.Errorf("while one copy is damaged: %+v, %v", content, err)
	}
	act := c.transfer(t, a, m.ID)
	c.replicated(t, c.replication(t))
	c.wantAction(t, a, act, image.Completed)
	if content, err := c.Content(ctx, a, m.ID); err != nil || content.StoreID != claim.StoreID || len(content.Others) != 1 {
		t.Errorf("after the transfer: %+v, %v", content, err)
	}
	if diff := cmp.Diff([]string{"lon1", "nyc3"}, c.image(t, a, m.ID).Regions); diff != "" {
		t.Error(diff)
	}
	_, err := c.Act(ctx, a, m.ID, image.Act{Type: image.Transfer, Region: "lon1"})
	wantInvalid(t, "once it is whole", err, "already")
}

// The account with the fewest running transfers comes first.
func testReplicationTurns(t *testing.T, c *Catalog) {
	a, b := c.account(t, "a", image.Quota{}), c.account(t, "b", image.Quota{})
	var want []int64
	for i := range 3 {
		act := c.transfer(t, a, c.available(t, a, fmt.Sprint(i)).ID)
		want = append(want, act.ID)
	}
	act := c.transfer(t, b, c.available(t, b, "b").ID)
	want = []int64{want[0], act.ID, want[1], want[2]}
	var got []int64
	for range want {
		got = append(got, c.replication(t).Action)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
