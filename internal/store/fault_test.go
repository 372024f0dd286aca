package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/image"
	"ingot/internal/store"
)

var errFault = errors.New("the disk is on fire")

// Wherever a write fails, nothing of it can be seen, the import can be tried again, and once it has failed for good
// the sweep leaves an empty store.
func TestEveryFault(t *testing.T) {
	data := guest(4<<20, 6)
	for _, op := range []string{"create", "write", "commit", "committed"} {
		for _, kind := range []string{"packs", "manifests"} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprint(op, kind, again), func(t *testing.T) {
					armed := true
					h := newHouse(t, func(o store.Objects) store.Objects {
						return &faults{o, func(did, name string) error {
							if armed && did == op && strings.HasPrefix(name, kind) {
								return errFault
							}
							return nil
						}}
					})
					c := h.claim()
					if _, err := h.Write(t.Context(), owner(c), whole(data), nil); !errors.Is(err, errFault) {
						t.Fatalf("Write: %v", err)
					}
					armed = false
					if again {
						h.succeed(c, data)
					} else if err := h.catalog.Fail(t.Context(), c, "x", "It failed."); err != nil {
						t.Fatal(err)
					}
					h.wantEmpty()
				})
			}
		}
	}
}

// succeed tries an import again under a new lease, checks the image and deletes it.
func (h *house) succeed(c image.Claim, data []byte) {
	h.t.Helper()
	if err := h.catalog.Release(h.t.Context(), c); err != nil {
		h.t.Fatal(err)
	}
	c = h.reclaim()
	w := must(h.Write(h.t.Context(), owner(c), whole(data), nil))(h.t)
	if err := h.publish(c, w); err != nil {
		h.t.Fatal(err)
	}
	h.sweep()
	h.wantSound()
	if got := must(h.content(c.ImageID))(h.t); !bytes.Equal(got, data) {
		h.t.Error("the image came back changed")
	}
	h.delete(c.ImageID)
}

// wantEmpty fails the test unless a sweep leaves no object.
func (h *house) wantEmpty() {
	h.t.Helper()
	h.sweep()
	if left := h.names(""); len(left) != 0 {
		h.t.Errorf("the store still has %q", left)
	}
}

// faultyIndex makes calls of the index fail.
type faultyIndex struct {
	store.Catalog
	fail string
}

func (f *faultyIndex) Begin(ctx context.Context, o store.Owner, kind store.Kind, name string) error {
	if f.fail == "Begin "+string(kind) {
		return errFault
	}
	return f.Catalog.Begin(ctx, o, kind, name)
}

func (f *faultyIndex) Find(ctx context.Context, o store.Owner, digests []store.Digest) ([]store.Location, error) {
	if f.fail == "Find" {
		return nil, errFault
	}
	return f.Catalog.Find(ctx, o, digests)
}

func (f *faultyIndex) Add(ctx context.Context, o store.Owner, pack string, size int64, entries []store.Entry) ([]store.Location, error) {
	if f.fail == "Add" {
		return nil, errFault
	}
	return f.Catalog.Add(ctx, o, pack, size, entries)
}

func TestIndexFaults(t *testing.T) {
	data := guest(4<<20, 6)
	for _, call := range []string{"Begin pack", "Begin manifest", "Find", "Add"} {
		h := newHouse(t, nil)
		s := must(store.New(h.objects, &faultyIndex{h.catalog.Index(h.id), call}))(t)
		c := h.claim()
		if _, err := s.Write(t.Context(), owner(c), whole(data), nil); !errors.Is(err, errFault) {
			t.Errorf("%s: Write: %v", call, err)
		}
		h.succeed(c, data)
		h.wantEmpty()
	}
}

// brokenDisk fails from some offset on, or waits there until it is told to go on.
type brokenDisk struct {
	*memDisk
	at   int64
	err  error
	wait chan struct{}
}

func (d *brokenDisk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.at {
		if d.wait != nil {
			<-d.wait
		}
		return 0, d.err
	}
	return d.memDisk.ReadAt(p, off)
}

// The error of the disk comes out as it went in, and no goroutine stays.
func TestDiskFails(t *testing.T) {
	h := newHouse(t, nil)
	before := runtime.NumGoroutine()
	for _, at := range []int64{0, 3 << 20, 39 << 20} {
		c := h.claim()
		d := &brokenDisk{memDisk: whole(guest(40<<20, 2)), at: at, err: errFault}
		if _, err := h.Write(t.Context(), owner(c), d, nil); !errors.Is(err, errFault) {
			t.Errorf("at %d: %v", at, err)
		}
		if err := h.catalog.Fail(t.Context(), c, "x", "It failed."); err != nil {
			t.Fatal(err)
		}
	}
	c := h.claim()
	short := &brokenDisk{memDisk: whole(guest(4<<20, 2)), at: 1 << 20, err: io.EOF}
	if _, err := h.Write(t.Context(), owner(c), short, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a disk that ends in its map: %v", err)
	}
	if err := h.catalog.Fail(t.Context(), c, "x", "It failed."); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
	h.wantEmpty()
}

// panickyDisk panics where it is read from some offset on, or where its map is.
type panickyDisk struct {
	*memDisk
	readAt, nextData int64
}

func (d panickyDisk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > d.readAt {
		panic("index out of range")
	}
	return d.memDisk.ReadAt(p, off)
}

func (d panickyDisk) NextData(off int64) (int64, int64, error) {
	if off >= d.nextData {
		panic("index out of range")
	}
	return d.memDisk.NextData(off)
}

// panickyObjects panics where an object is read.
type panickyObjects struct{ store.Objects }

func (o panickyObjects) ReadAt(context.Context, string, []byte, int64) error {
	panic("the bytes are odd")
}

// A format that breaks over its file ends one import, not the service; nor does what breaks over kept bytes.
func TestAPanicIsAnError(t *testing.T) {
	h := newHouse(t, nil)
	data := guest(20<<20, 2)
	for name, d := range map[string]panickyDisk{
		"first read": {whole(data), 0, 1 << 40}, "later read": {whole(data), 10 << 20, 1 << 40},
		"first map": {whole(data), 1 << 40, 0}, "end of the map": {whole(data), 1 << 40, 20 << 20},
	} {
		c := h.claim()
		if _, err := h.Write(t.Context(), owner(c), d, nil); err == nil || !strings.Contains(err.Error(), "panic: index out of range") {
			t.Errorf("%s: Write: %v", name, err)
		}
		h.succeed(c, data)
	}
	_, w := h.keep(whole(data))
	broken := must(store.New(panickyObjects{h.objects}, h.catalog.Index(h.id)))(t)
	if _, err := broken.Check(t.Context(), func(store.Damage) {}); err == nil || !strings.Contains(err.Error(), "panic: the bytes are odd") {
		t.Errorf("Check: %v", err)
	}
	if got := must(io.ReadAll(io.NewSectionReader(h.open(w), 0, w.GuestSize)))(t); !bytes.Equal(got, data) {
		t.Error("the image came back changed")
	}
}

func TestWriteIsCancelled(t *testing.T) {
	h := newHouse(t, nil)
	c := h.claim()
	ctx, cancel := context.WithCancel(t.Context())
	d := &brokenDisk{memDisk: whole(guest(20<<20, 2)), at: 10 << 20, err: errFault, wait: make(chan struct{})}
	failed := make(chan error)
	go func() {
		_, err := h.Write(ctx, owner(c), d, nil)
		failed <- err
	}()
	cancel()
	close(d.wait)
	if err := <-failed; !errors.Is(err, context.Canceled) && !errors.Is(err, errFault) {
		t.Errorf("Write: %v", err)
	}
	h.succeed(c, d.data)
	h.wantEmpty()
}

// waitingDisk is a disk whose download has stalled: its reads end when they are interrupted and not before.
type waitingDisk struct{ *brokenDisk }

func (d waitingDisk) Interrupt() { close(d.wait) }

// A store that fails does not wait for a download that stands still.
func TestAFailureInterruptsReadsThatWait(t *testing.T) {
	h := newHouse(t, nil)
	s := must(store.New(h.objects, &faultyIndex{h.catalog.Index(h.id), "Find"}))(t)
	c := h.claim()
	d := waitingDisk{&brokenDisk{memDisk: whole(guest(40<<20, 6)), at: 30 << 20, err: errInterrupted, wait: make(chan struct{})}}
	if _, err := s.Write(t.Context(), owner(c), d, nil); !errors.Is(err, errFault) {
		t.Errorf("Write: %v", err)
	}
	h.succeed(c, d.data)
	h.wantEmpty()
}

var errInterrupted = errors.New("interrupted")

// A worker hangs in the middle of a write, its import goes to another, and it wakes when all is over. It can add
// nothing, publish nothing, and what it finishes late is swept.
func TestHungWorker(t *testing.T) {
	data := guest(3<<20, 12)
	for _, op := range []string{"create", "commit", "committed"} {
		hung, wake := make(chan struct{}), make(chan struct{})
		var once sync.Once
		h := newHouse(t, func(o store.Objects) store.Objects {
			return &faults{o, func(did, name string) error {
				if did == op && strings.HasPrefix(name, "packs") {
					first := false
					once.Do(func() { first = true })
					if first {
						close(hung)
						<-wake
					}
				}
				return nil
			}}
		})
		c := h.claim()
		failed := make(chan error)
		go func() {
			_, err := h.Write(t.Context(), owner(c), whole(data), nil)
			failed <- err
		}()
		<-hung
		h.succeed(c, data)
		h.sweep()
		close(wake)
		if err := <-failed; !errors.Is(err, image.ErrLeaseLost) {
			t.Errorf("%s: the hung worker's Write: %v", op, err)
		}
		if err := h.publish(c, store.Written{}); !errors.Is(err, image.ErrLeaseLost) {
			t.Errorf("%s: the hung worker's Publish: %v", op, err)
		}
		h.wantSound() // what it finished late is not unknown
		h.later()
		h.wantEmpty()
	}
}

// What cannot be deleted now is deleted by a later sweep.
func TestDeleteFails(t *testing.T) {
	armed := true
	h := newHouse(t, func(o store.Objects) store.Objects {
		return &faults{o, func(did, _ string) error {
			if armed && did == "delete" {
				return errFault
			}
			return nil
		}}
	})
	id, _ := h.keep(whole(guest(2<<20, 3)))
	h.delete(id)
	if report, err := h.Sweep(t.Context()); !errors.Is(err, errFault) || report.Deleted != 0 || report.Condemned != 1 {
		t.Errorf("Sweep = %+v, %v", report, err)
	}
	armed = false
	if report := h.sweep(); report.Deleted != 2 || report.Freed == 0 {
		t.Errorf("the next Sweep = %+v", report)
	}
	h.wantEmpty()
}

// A place that does not answer is not asked to delete one object after the other; one that refuses some deletes the rest.
func TestDeletionsEndWhereNothingAnswers(t *testing.T) {
	for _, answers := range []bool{false, true} {
		tried, refused := 0, map[string]bool{}
		armed := false
		h := newHouse(t, func(o store.Objects) store.Objects {
			return &faults{o, func(did, name string) error {
				if !armed || answers && did != "delete" {
					return nil
				}
				if did == "delete" {
					tried++
				}
				if answers && len(refused) >= 5 && !refused[name] {
					return nil
				}
				refused[name] = true
				return errFault
			}}
		})
		for seed := range uint64(6) {
			id, _ := h.keep(whole(guest(1<<20, seed)))
			h.delete(id)
		}
		armed = true
		report, err := h.Sweep(t.Context())
		if !errors.Is(err, errFault) || answers && (tried != 12 || report.Deleted != 7) || !answers && tried != 3 {
			t.Errorf("answers %v: %d of 12 deletions were tried, %d done; %v", answers, tried, report.Deleted, err)
		}
		armed = false
		h.sweep()
		h.wantEmpty()
	}
}
