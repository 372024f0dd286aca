package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/store"
	"ingot/internal/store/local"
)

// settle settles all that there is.
func (h *house) settle() store.SettleReport {
	h.t.Helper()
	return must(h.Settle(h.t.Context(), store.SettleOptions{Idle: true}))(h.t)
}

// wantUnsettled fails the test unless so many packs are unsettled.
func (h *house) wantUnsettled(want int64) {
	h.t.Helper()
	if packs, _, err := h.catalog.Unsettled(h.t.Context()); err != nil || packs != want {
		h.t.Errorf("%d packs are unsettled, want %d; %v", packs, want, err)
	}
}

// Settling makes packs smaller and changes nothing else: not for images, not for a reader that has the old places in
// mind, not for what is imported later.
func TestSettle(t *testing.T) {
	h := newHouse(t, nil)
	other, _ := h.keep(whole(guest(2<<20, 9)))
	data := guest(6<<20, 1)
	c := h.claim()
	w := must(h.Write(t.Context(), owner(c), whole(data), nil))(t)
	if got := h.settle(); got != (store.SettleReport{}) {
		t.Errorf("settled while an import ran: %+v", got)
	}
	if err := h.publish(c, w); err != nil {
		t.Fatal(err)
	}
	const packs = 2
	h.wantUnsettled(packs)
	reader := h.open(w)
	if _, err := reader.ReadAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	before := h.bytes()
	report := h.settle()
	if report.Packs != packs || report.Before != before || report.After != h.bytes() || report.After*10 > before*9 {
		t.Errorf("%+v of %d packs: %d bytes before, %d after", report, packs, before, h.bytes())
	}
	h.wantUnsettled(0)
	got := make([]byte, len(data))
	if _, err := reader.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a reader from before: %v", err)
	}
	if got := must(h.content(c.ImageID))(t); !bytes.Equal(got, data) {
		t.Error("the image came back changed")
	}
	h.wantSound()
	if report := h.settle(); report != (store.SettleReport{}) {
		t.Errorf("settled twice: %+v", report)
	}
	again, second := h.keep(whole(data))
	if second.StoredBytes != 0 || second.Manifest != w.Manifest {
		t.Errorf("the same disk stored %d bytes anew, digest %v and %v", second.StoredBytes, w.Manifest, second.Manifest)
	}
	h.delete(c.ImageID)
	h.delete(again)
	h.delete(other)
	h.wantEmpty()
}

// Wherever settling fails or is cut off, nothing is lost, and the next one does what is left.
func TestSettleFaults(t *testing.T) {
	data := guest(4<<20, 6)
	for _, op := range []string{"create", "read", "write", "commit", "committed", "yield"} {
		t.Run(op, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			armed := ""
			h := newHouse(t, func(o store.Objects) store.Objects {
				return &faults{o, func(did, name string) error {
					switch {
					case !strings.HasPrefix(name, "packs/"):
					case armed == "yield" && did == "read":
						cancel()
					case armed == did:
						return errFault
					}
					return nil
				}}
			})
			id, _ := h.keep(whole(data))
			armed = op
			report, err := h.Settle(ctx, store.SettleOptions{})
			if err == nil || !errors.Is(err, errFault) && !errors.Is(err, context.Canceled) || report.Packs != 0 {
				t.Errorf("%+v, %v", report, err)
			}
			armed = ""
			h.wantUnsettled(1)
			if got := must(h.content(id))(t); !bytes.Equal(got, data) {
				t.Error("the image came back changed")
			}
			if report := h.settle(); report.Packs != 1 {
				t.Errorf("the next one: %+v", report)
			}
			h.wantSound()
			if got := must(h.content(id))(t); !bytes.Equal(got, data) {
				t.Error("the image came back changed when it was settled")
			}
			h.delete(id)
			h.exec(`UPDATE object SET until = 0 WHERE state = 'writing'`) // as after an hour
			h.wantEmpty()
		})
	}
}

// exec changes the database behind the catalogue's back.
func (h *house) exec(statement string) {
	h.t.Helper()
	db := must(sql.Open("sqlite", strings.TrimPrefix(h.database, "sqlite:")))(h.t)
	defer db.Close()
	if _, err := db.Exec(`PRAGMA busy_timeout = 10000; ` + statement); err != nil {
		h.t.Fatal(err)
	}
}

// A process that dies while it settles holds up its pack for as long as its claim lasts, and nothing else.
func TestSettleAfterACrash(t *testing.T) {
	h := newHouse(t, nil)
	data := guest(3<<20, 3)
	id, _ := h.keep(whole(data))
	if p, err := h.catalog.Index(h.id).ClaimUnsettled(t.Context(), true); err != nil || p == nil {
		t.Fatal(p, err)
	}
	if report := h.settle(); report.Packs != 0 {
		t.Errorf("settled what another has claimed: %+v", report)
	}
	h.exec(`UPDATE object SET until = until - 600000 WHERE until > 0`)
	if report := h.settle(); report.Packs != 1 {
		t.Errorf("%+v", report)
	}
	if got := must(h.content(id))(t); !bytes.Equal(got, data) {
		t.Error("the image came back changed")
	}
}

// A damaged pack is told of, once, and left to the check as it is; the others are settled.
func TestSettleDamage(t *testing.T) {
	for name, spoil := range map[string]func(*os.File, int64) error{
		"altered": func(f *os.File, size int64) error { _, err := f.WriteAt([]byte("spoilt"), size/2); return err },
		"short":   func(f *os.File, size int64) error { return f.Truncate(size / 2) },
		"gone":    func(f *os.File, _ int64) error { return os.Remove(f.Name()) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			h := openHouse(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"), folder, nil)
			h.keep(whole(guest(2<<20, 5)))
			bad := h.names("packs")[0]
			good, w := h.keep(whole(guest(2<<20, 6)))
			f := must(os.OpenFile(filepath.Join(folder, bad), os.O_RDWR, 0))(t)
			defer f.Close()
			if err := spoil(f, must(h.objects.Stat(t.Context(), bad))(t)); err != nil {
				t.Fatal(err)
			}
			h.objects.(*local.Store).Close() // what it has open for reading
			report, err := h.Settle(t.Context(), store.SettleOptions{})
			if err == nil || !strings.Contains(err.Error(), bad) || report.Packs != 1 {
				t.Errorf("%+v, %v", report, err)
			}
			if report := h.settle(); report.Packs != 0 {
				t.Errorf("afterwards: %+v", report)
			}
			h.wantUnsettled(1)
			if _, err := io.Copy(io.Discard, io.NewSectionReader(h.open(w), 0, 2<<20)); err != nil {
				t.Errorf("image %d: %v", good, err)
			}
		})
	}
}
