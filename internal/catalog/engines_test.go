package catalog

import (
	"path/filepath"
	"testing"

	"ingot/internal/catalog/pgtest"
)

// The suite is the same for both engines. Every test of it begins with an empty catalogue that has regions.
func suite(t *testing.T, open func(*testing.T) *Catalog) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Catalog)
	}{
		{"accounts", testAccounts},
		{"tokens", testTokens},
		{"regions", testRegions},
		{"joined regions", testJoinRegions},
		{"folder of uploads", testUploadsFolder},
		{"uploads that are given up", testLeaveUploads},
		{"dead uploads wait for nobody", testDeadUploadsWaitForNobody},
		{"create", testCreate},
		{"quota", testQuota},
		{"idempotency", testIdempotency},
		{"visibility", testVisibility},
		{"publish", testPublish},
		{"fail", testFail},
		{"retry", testRetry},
		{"release", testRelease},
		{"update", testUpdate},
		{"delete", testDelete},
		{"lost lease", testLostLease},
		{"finished twice", testFinishedTwice},
		{"takeover", testTakeover},
		{"clock goes back", testClockGoesBack},
		{"release all", testReleaseAll},
		{"turns", testTurns},
		{"public images", testPublicImages},
		{"publications", testPublications},
		{"actions", testActions},
		{"pages of actions", testActionPages},
		{"replication", testReplication},
		{"ends of replications", testReplicationEnds},
		{"lost lease of a replication", testReplicationLost},
		{"replications and regions", testReplicationRegions},
		{"turns of replications", testReplicationTurns},
		{"a replication mends", testReplicationMends},
		{"tagged", testTagged},
		{"a tag of many", testTagOfMany},
		{"offers", testOffers},
		{"offers that are refused", testOffersRefused},
		{"offers and links", testOffersAndLinks},
		{"counters", testCounters},
		{"lists", testLists},
		{"reads see writes", testReadsSeeWrites},
		{"stable pages", testStablePages},
		{"usage", testUsage},
		{"link keys", testLinkKeys},
		{"uploads", testUploads},
		{"uploads of imports that wait", testUploadsOfImportsThatWait},
		{"uploads that are used in time", testUploadsThatAreUsedInTime},
		{"parallel creates", testParallelCreates},
		{"parallel claims", testParallelClaims},
		{"parallel ends", testParallelEnds},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func TestSQLite(t *testing.T) {
	suite(t, func(t *testing.T) *Catalog {
		return openTest(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	})
}

func TestPostgres(t *testing.T) {
	server := pgtest.Start(t)
	suite(t, func(t *testing.T) *Catalog { return openTest(t, server.Database(t)) })
}

func openTest(t testing.TB, url string) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.SetRegions(t.Context(), map[string]string{"nyc3": "file:a", "fra1": "file:a", "lon1": "file:b"}); err != nil {
		t.Fatal(err)
	}
	return c
}
