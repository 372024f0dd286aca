package catalog

import (
	"path/filepath"
	"testing"
)

func TestOpenTwice(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "a b%20?.db")
	for range 2 {
		c, err := Open(t.Context(), url, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
