package api

import (
	"context"
	"net/http"
	"time"
)

// Pinger says whether the catalogue answers.
type Pinger interface {
	Ping(ctx context.Context) error
}

const pingTimeout = 5 * time.Second

// healthz says that the process answers; whoever asks would restart it otherwise.
func (a *API) healthz(c *call) error {
	return c.json(http.StatusOK, append(c.buffer(), `{"status":"ok"}`...))
}

// readyz says whether requests can be served; whoever asks would send them elsewhere otherwise.
func (a *API) readyz(c *call) error {
	ctx, cancel := context.WithTimeout(c.ctx(), pingTimeout)
	defer cancel()
	if err := a.catalog.Ping(ctx); err != nil {
		a.log.Warn("not ready", "request_id", c.id, "error", err)
		return &problem{http.StatusServiceUnavailable, "service_unavailable", "The catalogue does not answer.", 5 * time.Second}
	}
	if a.draining.Err() != nil {
		return &problem{http.StatusServiceUnavailable, "service_unavailable", "The service is shutting down.", 5 * time.Second}
	}
	return c.json(http.StatusOK, append(c.buffer(), `{"status":"ready"}`...))
}
