package e2e

import (
	"net/http"
	"path/filepath"
	"testing"
)

func TestRateLimitIsOffUnlessAsked(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{{nil, 5000}, {[]string{"--rate-limit"}, 4998}} {
		s := start(t, filepath.Join(t.TempDir(), "data"), c.args...)
		client := s.godoClient(s.Token)
		for range 2 {
			_, resp, err := client.Account.Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusOK || resp.Rate.Limit != 5000 {
				t.Fatalf("%d %+v", resp.StatusCode, resp.Rate)
			}
		}
		if got := client.GetRate().Remaining; got != c.want {
			t.Errorf("with %v, %d requests remain, want %d", c.args, got, c.want)
		}
	}
}
