// Package api knows the wire: routes, JSON, pages, errors, scopes and limits. What it serves comes through small
// interfaces, each beside the code that calls it, and every decision that the public reference leaves open stands in
// docs/api.md.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"ingot/internal/image"
)

// Catalog is everything that the handlers ask of the catalogue.
type Catalog interface {
	Tokens
	ImageReader
	ImageWriter
	Imports
	Contents
	Links
	Usage
	Actions
	Tags
	Tagging
	Accounts
	Offers
	Pinger
}

// Config says what an API serves and how. Catalog, Files and Log must be set.
type Config struct {
	Catalog Catalog
	Files   Files
	Log     *slog.Logger

	Uploads   Uploads        // nil: none are taken
	Regions   []image.Region // none: image.DefaultRegions
	PublicURL string         // what links begin with; "": the request's own scheme and Host
	Limiter   Limiter        // nil: requests are not limited
	Wake      func()         // called when there is something to do: an import or a transfer was queued, or an image deleted; may be nil
}

// API answers the requests of clients. It is an http.Handler for everything below /v2/, /healthz and /readyz.
type API struct {
	catalog   Catalog
	files     Files
	uploads   Uploads
	log       *slog.Logger
	regions   []image.Region
	publicURL string
	limiter   Limiter
	wake      func()
	mux       *http.ServeMux
	draining  context.Context
	drain     context.CancelFunc
	buffers   sync.Pool
}

// New returns an API. The error says what is wrong with the public URL.
func New(cfg Config) (*API, error) {
	a := &API{
		catalog: cfg.Catalog, files: cfg.Files, uploads: cfg.Uploads, log: cfg.Log, regions: cfg.Regions,
		limiter: cfg.Limiter, wake: cfg.Wake, publicURL: strings.TrimRight(cfg.PublicURL, "/"),
	}
	if u, err := url.Parse(a.publicURL); a.publicURL != "" && (err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "") {
		return nil, fmt.Errorf("the public URL %q is not of the form https://images.example.com", cfg.PublicURL)
	}
	if a.regions == nil {
		a.regions = image.DefaultRegions()
	}
	if a.wake == nil {
		a.wake = func() {}
	}
	a.draining, a.drain = context.WithCancel(context.Background())
	a.mux = a.routes()
	return a, nil
}

// Drain ends the streams of events, which would otherwise hold up a graceful shutdown until their imports end. Other
// requests go on.
func (a *API) Drain() { a.drain() }
