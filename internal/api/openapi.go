package api

import (
	_ "embed"
	"net/http"
)

// description is the OpenAPI 3.1 description of everything that this package answers. The wire tests hold every answer
// against it.
//
//go:embed openapi.json
var description []byte

func (a *API) getDescription(c *call) error {
	return c.json(http.StatusOK, append(c.buffer(), description...))
}
