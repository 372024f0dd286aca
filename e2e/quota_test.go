package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestQuotasHoldInParallel creates more images at once than the account may have, deletes those that were taken while
// they are imported, and does it again: whatever is refused, lost or deleted, the quota is neither passed nor used up.
func TestQuotasHoldInParallel(t *testing.T) {
	const allowed = 5
	o := newOrigin(t, map[string][]byte{"disk": rawDisk(8<<20, 41)})
	s := start(t, t.TempDir(), "--allow-source", o.allow())
	ingot(t, "account", "create", "--data", s.data, "--max-images", fmt.Sprint(allowed), "team")
	s.Token = strings.TrimSpace(ingot(t, "token", "create", "--data", s.data, "--account", "team",
		"--scope", "image:read", "--scope", "image:create", "--scope", "image:delete"))
	for round := range 4 {
		o.rate.Store(1 << 20)
		ids := s.createMany(t, 4*allowed, o.URL+"/disk")
		if len(ids) != allowed {
			t.Fatalf("round %d: %d images accepted, %d are allowed\n%s", round, len(ids), allowed, s.Log)
		}
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() {
				if code := s.call("DELETE", fmt.Sprintf("/v2/images/%d", id), nil, nil); code != http.StatusNoContent {
					t.Errorf("DELETE image %d: %d", id, code)
				}
			})
		}
		wg.Wait()
	}
	o.rate.Store(0)
	s.Eventually("the store is empty", func() bool { return bytesUnder(t, filepath.Join(s.data, "store")) == 0 })
}

// createMany makes so many requests at once and returns the images that were accepted; the others must be refused.
func (s *service) createMany(t *testing.T, n int, url string) (ids []int64) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var refused atomic.Int32
	for i := range n {
		wg.Go(func() {
			var answer struct{ Image wireImage }
			body := map[string]any{"name": fmt.Sprint("image ", i), "url": url, "region": "nyc3"}
			switch code := s.call("POST", "/v2/images", body, &answer); code {
			case http.StatusAccepted:
				mu.Lock()
				defer mu.Unlock()
				ids = append(ids, answer.Image.ID)
			case http.StatusUnprocessableEntity:
				refused.Add(1)
			default:
				t.Errorf("POST: %d", code)
			}
		})
	}
	wg.Wait()
	if len(ids)+int(refused.Load()) != n {
		t.Errorf("%d accepted and %d refused of %d", len(ids), refused.Load(), n)
	}
	return ids
}
