package catalog

import (
	"testing"

	"ingot/internal/image"
	"ingot/internal/store"
)

func (c *Catalog) begin(t testing.TB, claim image.Claim, w store.Written) {}
