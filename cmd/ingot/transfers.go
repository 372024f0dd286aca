package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"ingot/internal/catalog"
	"ingot/internal/image"
	"ingot/internal/queue"
	"ingot/internal/store"
	"ingot/internal/transfer"
)

// openReplicated opens an image's content in whichever store has it: those that are open in this process, and of these
// last the ones that have failed lately. A store that fails while another serves is told to the operator, since no client
// notices.
func (s *stores) openReplicated(ctx context.Context, c image.Content) (*store.Replicated, error) {
	digest, err := store.ParseDigest(c.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %d: %w", c.ImageID, err)
	}
	var missing error
	var from []int64
	var replicas []store.Replica
	for _, p := range s.failures.last(c.Places()) {
		kept, err := s.store(p.StoreID)
		if err != nil {
			missing = errors.Join(missing, err)
			continue
		}
		from, replicas = append(from, p.StoreID), append(replicas, store.Replica{Store: kept, Object: p.Object})
	}
	if len(replicas) == 0 {
		return nil, fmt.Errorf("image %d: %w", c.ImageID, missing)
	}
	return store.OpenReplicated(ctx, digest, replicas, func(i int, err error) {
		s.failures.note(from[i], err)
		if len(replicas) > 1 && s.log != nil {
			s.log.ErrorContext(ctx, "an image cannot be read from one of its stores", "image", c.ImageID, "store", from[i], "error", err)
		}
	})
}

// failures remembers which stores have failed, so that not every request waits for one that does not answer.
type failures struct {
	mu sync.Mutex
	at map[int64]time.Time
}

// failedFor is how long a store that has failed is asked after the others.
const failedFor = time.Minute

// note notes a store's failure. What it says of one image's content is none.
func (f *failures) note(id int64, err error) {
	var damage *store.DamageError
	if errors.As(err, &damage) || errors.Is(err, fs.ErrNotExist) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[id] = time.Now()
}

// last puts the places in stores that have failed lately behind the others.
func (f *failures) last(places []image.Place) []image.Place {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := func(p image.Place) int {
		if at, ok := f.at[p.StoreID]; ok && time.Since(at) < failedFor {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(places, func(a, b image.Place) int { return failed(a) - failed(b) })
	return places
}

// store returns an open store.
func (s *stores) store(id int64) (*store.Store, error) {
	kept, ok := s.byID[id]
	if !ok {
		return nil, errors.Join(fmt.Errorf("the store %d is not open in this process", id), s.missing[id])
	}
	return kept, nil
}

// newCopier returns what runs transfers between stores. Whoever asks for one wakes it, if he asks this process.
func (s *service) newCopier() *queue.Runner {
	jobs := s.catalog.Replications()
	return &queue.Runner{
		Jobs:    jobs,
		Work:    s.metrics.ofTransfers(&transfer.Worker{Stores: s.stores.store, Catalog: measuredTransfers{jobs, s.metrics}, Log: s.log}),
		Job:     "transfer",
		Workers: s.cmd.Transfers,
		Poll:    2 * time.Second,
		Log:     s.log,
	}
}

// measuredTransfers counts the bytes of what is completed.
type measuredTransfers struct {
	transfer.Catalog
	m *metrics
}

func (c measuredTransfers) Complete(ctx context.Context, claim image.Claim, p image.Progress, w store.Written) error {
	err := c.Catalog.Complete(ctx, claim, p, w)
	if err == nil {
		c.m.copied.Add(float64(w.StoredBytes))
	}
	return err
}

type transfersCmd struct {
	dataFlags
	Since time.Duration `help:"Show those too that ended within this time." default:"24h" env:"-"`
	Limit int           `help:"Show the latest so many." default:"100" env:"-"`
}

// Run shows what is under way between the stores of a data directory, whether or not a service runs on it.
func (c *transfersCmd) Run(ctx context.Context, term terminal) error {
	cat, err := c.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer cat.Close()
	all, err := cat.ListReplications(ctx, c.Since, c.Limit)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(term.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACTION\tIMAGE\tREGION\tACCOUNT\tSTATE\tATTEMPT\tDONE\tCOPIED\tREASON")
	for _, r := range all {
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Action.ID, r.Action.ImageID, r.Action.Region, r.Account, r.State,
			r.Attempt, percent(r), sizeText(r.StoredBytes), strings.TrimSpace(r.ErrorCode+" "+r.ErrorMessage))
	}
	return w.Flush()
}

// percent is how much of the guest's disk is in the store that it is copied to.
func percent(r catalog.Replication) string {
	if r.GuestSize == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", r.GuestBytes*100/r.GuestSize)
}
