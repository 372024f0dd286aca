package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/api"
	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/importer"
	"ingot/internal/queue"
	"ingot/internal/refusal"
	"ingot/internal/source"
	"ingot/internal/store"
	"ingot/internal/store/local"
	"ingot/internal/upload"
)

// service is everything that one process of ingot serve runs.
type service struct {
	cmd     *serveCmd
	log     *slog.Logger
	locks   []*os.File // none where the database is shared
	catalog *catalog.Catalog
	stores  *stores
	storeOf map[string]int64 // by region
	uploads *upload.Uploads
	runner  *queue.Runner // nil without the role worker; so are the transfers
	copier  *queue.Runner // of transfers between stores
	metrics *metrics
	api     *api.API // nil without the role api
	sweep   chan struct{}
	settler *settler

	listener net.Listener // nil without the role api
}

// How long what is under way at a shutdown may take: requests to end, and imports to be handed back.
const shutdownGrace = 10 * time.Second

// openService opens the data directory and listens; run then does the work. The order: the locks before anything that
// another process could be using, the catalogue's schema too, and the listener last, so that who can connect is answered.
func openService(ctx context.Context, cmd *serveCmd, log *slog.Logger) (_ *service, err error) {
	s := &service{cmd: cmd, log: log, metrics: newMetrics(), sweep: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := local.MakeFolder(cmd.Data); err != nil {
		return nil, err
	}
	if s.locks, err = cmd.lock(); err != nil {
		return nil, err
	}
	if s.catalog, err = catalog.Open(ctx, cmd.databaseURL(), catalog.Options{NoMigrate: cmd.NoMigrate, Log: log}); err != nil {
		return nil, err
	}
	if len(s.locks) > 0 { // every lease is stale: the process that held it has ended
		if err := s.catalog.ReleaseAll(ctx); err != nil {
			return nil, err
		}
	}
	if err := ownData(ctx, s.catalog, cmd.Data); err != nil {
		return nil, err
	}
	if err := s.openRegions(ctx); err != nil {
		return nil, err
	}
	if err := s.firstToken(ctx); err != nil {
		return nil, err
	}
	if err := s.openUploads(ctx); err != nil {
		return nil, err
	}
	if err := s.openWorker(); err != nil {
		return nil, err
	}
	s.openSettler()
	return s, s.openAPI(ctx)
}

// alone says that no other process can be running on the database, which may then be set up anew.
func (s *service) alone() bool { return !s.catalog.Shared() || s.cmd.Reconfigure }

// openUploads opens the folder that clients send files to.
func (s *service) openUploads(ctx context.Context) error {
	dir, id := s.cmd.uploadsFolder(), ""
	if dir != "" {
		var err error
		if id, err = upload.FolderID(dir); err != nil {
			return fmt.Errorf("the folder of uploads: %w", err)
		}
	}
	if s.cmd.Reconfigure {
		left, err := s.catalog.LeaveUploads(ctx, id)
		if err != nil {
			return err
		}
		if left > 0 {
			s.log.Warn("uploads in the former folder are given up", "uploads", left)
		}
	}
	err := s.catalog.UseUploads(ctx, id, s.alone())
	if err == nil && dir != "" {
		s.uploads, err = upload.New(dir, int64(s.cmd.MaxImageSize), s.catalog)
	}
	return err
}

// noUploads is what the importer has instead of uploads where there are none.
type noUploads struct{}

func (noUploads) Open(context.Context, int64, string) (io.ReadCloser, int64, error) {
	return nil, 0, refusal.New("upload_gone", "The service takes no uploads any more. Name a URL that it can fetch the image from.")
}

// openRegions opens the stores, and keeps in mind which region has which.
func (s *service) openRegions(ctx context.Context) (err error) {
	urls, err := s.checkStores(ctx)
	if err != nil {
		return err
	}
	set := s.catalog.JoinRegions
	if s.alone() {
		set = s.catalog.SetRegions
	}
	if s.storeOf, err = set(ctx, urls); err != nil {
		return err
	}
	if s.stores, err = openStores(ctx, s.catalog, s.cmd.Data); err != nil {
		return err
	}
	s.stores.log = s.log
	if gone := s.stores.gone(); gone != nil {
		s.log.Warn("a former store is not there: what only it has cannot be read", "error", gone)
	}
	return nil
}

// regionStore returns the store that a region's images go to.
func (s *service) regionStore(slug string) (*store.Store, error) {
	kept, ok := s.stores.byID[s.storeOf[slug]]
	if !ok {
		return nil, fmt.Errorf("no store is configured for region %s", slug)
	}
	return kept, nil
}

func (s *service) openWorker() error {
	if !slices.Contains(s.cmd.Roles, "worker") {
		return nil
	}
	opt, err := s.cmd.sourceOptions()
	if err != nil {
		return err
	}
	opt.Log = s.log
	client, err := source.New(opt)
	if err != nil {
		return err
	}
	scratch, err := s.openScratch()
	if err != nil {
		return err
	}
	var uploads importer.Uploads = noUploads{}
	if s.uploads != nil {
		uploads = s.uploads
	}
	s.runner = &queue.Runner{
		Jobs: s.catalog,
		Work: s.metrics.ofImports(&importer.Importer{
			Source: client, Uploads: uploads, Stores: s.regionStore, Catalog: measuredCatalog{s.catalog, s.metrics},
			Scratch: scratch, MaxSize: int64(s.cmd.MaxImageSize), Log: s.log,
		}),
		Workers: s.cmd.Workers,
		Log:     s.log,
	}
	s.copier = s.newCopier()
	return nil
}

// openScratch makes the folder of spools. Where the file system knows no file without a name, a spool has one for a
// moment, and a process that was killed in it has left an empty file.
func (s *service) openScratch() (string, error) {
	dir := filepath.Join(s.cmd.Data, "scratch")
	if err := os.MkdirAll(dir, 0o700); err != nil || len(s.locks) == 0 {
		return dir, err // another process may be making a spool in it
	}
	left, err := os.ReadDir(dir)
	for _, e := range left {
		if strings.HasPrefix(e.Name(), "spool-") {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return dir, err
}

func (s *service) openAPI(ctx context.Context) (err error) {
	if !slices.Contains(s.cmd.Roles, "api") {
		return nil
	}
	var limiter api.Limiter
	if s.cmd.RateLimit {
		limiter = api.NewLimiter()
	}
	var uploads api.Uploads // nil: there are none
	if s.uploads != nil {
		uploads = s.uploads
	}
	s.api, err = api.New(api.Config{
		Catalog: s.catalog, Uploads: uploads, Files: s.stores, Log: s.log,
		Regions: s.regions(), PublicURL: s.cmd.PublicURL, Wake: s.wake, Limiter: limiter,
	})
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	s.listener, err = lc.Listen(ctx, "tcp", s.cmd.Listen)
	return err
}

// regions returns what the API offers: the configured slugs, with the names of those that DigitalOcean has.
func (s *service) regions() []image.Region {
	if len(s.cmd.Region) == 0 {
		return image.DefaultRegions()
	}
	var regions []image.Region
	for slug := range s.cmd.Region {
		r := image.Region{Slug: slug, Name: slug}
		for _, d := range image.DefaultRegions() {
			if d.Slug == slug {
				r = d
			}
		}
		regions = append(regions, r)
	}
	slices.SortFunc(regions, func(a, b image.Region) int { return strings.Compare(a.Slug, b.Slug) })
	return regions
}

// wake starts what a request made due: a queued import or transfer, or a sweep after a deletion.
func (s *service) wake() {
	if s.runner != nil {
		s.runner.Wake()
		s.copier.Wake()
	}
	select {
	case s.sweep <- struct{}{}:
	default:
	}
}

// run works until ctx ends, then hands back what is under way and closes everything.
func (s *service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.watchSchema(ctx) })
	if s.runner != nil {
		group.Go(func() error { s.runner.Run(ctx); return nil })
		group.Go(func() error { s.copier.Run(ctx); return nil })
		group.Go(func() error { s.sweepLoop(ctx); return nil })
		group.Go(func() error { s.settleLoop(ctx); return nil })
	}
	if s.listener != nil {
		s.log.Info("listening", "url", s.url())
		group.Go(func() error { return s.serveHTTP(ctx) })
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, s.close())
}

// watchSchema ends the service when a newer one has changed the database so that this one cannot work on it.
func (s *service) watchSchema(ctx context.Context) error {
	tick := time.NewTicker(schemaEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.catalog.Compatible(ctx); refusal.As(err) != nil {
			return err
		}
	}
}

// schemaEvery is how long a service may go on after that; whoever migrates waits as long.
const schemaEvery = 15 * time.Second

func (s *service) url() string {
	scheme := "http"
	if s.cmd.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}

func (s *service) serveHTTP(ctx context.Context) error {
	server := api.NewServer(s.metrics.handler(s.api), s.log)
	ended := make(chan error, 1)
	go func() {
		if s.cmd.TLSCert != "" {
			ended <- server.ServeTLS(s.listener, s.cmd.TLSCert, s.cmd.TLSKey)
		} else {
			ended <- server.Serve(s.listener)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.api.Drain()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close() // a client that reads a file slower than the grace is cut; it resumes by Range
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close is safe on a service that was opened in part.
func (s *service) close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.stores != nil {
		errs = append(errs, s.stores.close())
	}
	if s.catalog != nil {
		errs = append(errs, s.catalog.Close())
	}
	for _, lock := range s.locks { // after the catalogue: the next service may begin
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}
