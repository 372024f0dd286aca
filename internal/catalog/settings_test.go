package catalog

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
)

// Processes of one service must agree on the folder of uploads; who has a former one takes no more.
func testUploadsFolder(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	if err := c.UseUploads(ctx, "one", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddUpload(ctx, a, "u1", 10); err != nil {
		t.Fatal(err)
	}
	other := &Catalog{d: c.d, log: c.log, writer: c.writer, readers: c.readers, cache: c.cache, watch: c.watch} // another process, as far as folders go
	if err := other.UseUploads(ctx, "two", false); refusalCode(err) != "uploads_elsewhere" {
		t.Errorf("another folder: %v", err)
	}
	if err := other.UseUploads(ctx, "two", true); refusalCode(err) != "uploads_waiting" {
		t.Errorf("another folder, with files in the former: %v", err)
	}
	if err := c.EndUpload(ctx, a, "u1"); err != nil {
		t.Fatal(err)
	}
	if err := c.ForgetUpload(ctx, "u1"); err != nil {
		t.Fatal(err)
	}
	if err := other.UseUploads(ctx, "two", true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddUpload(ctx, a, "u2", 10); image.KindOf(err) != image.Busy {
		t.Errorf("an upload to the former folder: %v", err)
	}
	if _, err := other.AddUpload(ctx, a, "u2", 10); err != nil {
		t.Error(err)
	}
}

// A service that was restored has none of the uploads that its catalogue knows of. It gives them up, and what they took
// of the quotas back.
func testLeaveUploads(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a, b := c.account(t, "a", image.Quota{Bytes: 25}), c.account(t, "b", image.Quota{})
	if n, err := c.LeaveUploads(ctx, "one"); err != nil || n != 0 {
		t.Fatalf("of a service that had no folder: %d, %v", n, err)
	}
	if err := c.UseUploads(ctx, "one", false); err != nil {
		t.Fatal(err)
	}
	for id, account := range map[string]int64{"u1": a, "u2": a, "u3": b, "dead": b} {
		if _, err := c.AddUpload(ctx, account, id, 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.EndUpload(ctx, b, "dead"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.LeaveUploads(ctx, "one"); err != nil || n != 0 {
		t.Errorf("from its own folder: %d, %v", n, err)
	}
	if n, err := c.LeaveUploads(ctx, "two"); err != nil || n != 3 {
		t.Errorf("LeaveUploads = %d, %v, want 3", n, err)
	}
	if err := c.UseUploads(ctx, "two", true); err != nil {
		t.Fatal(err)
	}
	if dead, err := c.DeadUploads(ctx); err != nil || len(dead) != 0 {
		t.Errorf("dead uploads: %q, %v", dead, err)
	}
	if n, err := c.CheckCounters(ctx); err != nil || n != 0 {
		t.Errorf("%d counters were wrong, %v", n, err)
	}
	if _, err := c.AddUpload(ctx, a, "u4", 25); err != nil {
		t.Errorf("the quota was not given back: %v", err)
	}
}

// An upload that has ended keeps nobody from another folder.
func testDeadUploadsWaitForNobody(t *testing.T, c *Catalog) {
	ctx := t.Context()
	a := c.account(t, "a", image.Quota{})
	if err := c.UseUploads(ctx, "one", false); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddUpload(ctx, a, "u1", 10); err != nil {
		t.Fatal(err)
	}
	if err := c.EndUpload(ctx, a, "u1"); err != nil {
		t.Fatal(err)
	}
	if err := c.UseUploads(ctx, "two", true); err != nil {
		t.Error(err)
	}
}

// The processes of one service have the same regions and stores.
func testJoinRegions(t *testing.T, c *Catalog) {
	same := map[string]string{"nyc3": "file:a", "fra1": "file:a", "lon1": "file:b"}
	first, err := c.JoinRegions(t.Context(), same)
	if err != nil || len(first) != 3 {
		t.Fatalf("%v, %v", first, err)
	}
	for want, regions := range map[string]map[string]string{
		"the store file:b for region lon1, and this one has none":   {"nyc3": "file:a", "fra1": "file:a"},
		"the store file:b for region lon1, and this one has file:a": {"nyc3": "file:a", "fra1": "file:a", "lon1": "file:a"},
		"the store none for region ams3, and this one has file:a":   {"nyc3": "file:a", "fra1": "file:a", "lon1": "file:b", "ams3": "file:a"},
	} {
		if _, err := c.JoinRegions(t.Context(), regions); refusalCode(err) != "regions_differ" || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", regions, err, want)
		}
	}
	if got, err := c.Regions(t.Context()); err != nil || len(got) != 3 || got["lon1"] != first["lon1"] {
		t.Errorf("who was refused has changed the regions: %v, %v", got, err)
	}
}

// Of two first starts at once on an empty database, the second waits for the first and is refused.
func TestFirstStartsAtOnce(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	first, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	refused := make(chan error, 1)
	err = first.write(t.Context(), func(tx *tx) error {
		id, err := storeID(t.Context(), tx, "file:a")
		if err != nil {
			return err
		}
		if err := setRegion(t.Context(), tx, "nyc3", id); err != nil {
			return err
		}
		go func() {
			_, err := second.JoinRegions(t.Context(), map[string]string{"fra1": "file:b"})
			refused <- err
		}()
		select {
		case err := <-refused:
			t.Fatalf("the second did not wait: %v", err)
		case <-time.After(500 * time.Millisecond): // it waits for this transaction
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-refused; refusalCode(err) != "regions_differ" {
		t.Errorf("the second: %v", err)
	}
}
