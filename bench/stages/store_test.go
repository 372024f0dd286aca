package stages

import (
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"ingot/bench/testdisk"
	"ingot/internal/catalog"
	"ingot/internal/disk"
	"ingot/internal/image"
	"ingot/internal/importer"
	"ingot/internal/store"
	"ingot/internal/store/local"
)

const region = "nyc3"

// house is a new store in a folder of its own, with its catalogue.
type house struct {
	b       *testing.B
	cat     *catalog.Catalog
	kept    *store.Store
	account int64
}

func newHouse(b *testing.B) *house {
	b.Helper()
	dir := b.TempDir()
	cat := must(catalog.Open(b.Context(), "sqlite:"+filepath.Join(dir, "catalog.db"), catalog.Options{}))(b)
	ids := must(cat.SetRegions(b.Context(), map[string]string{region: "file:store"}))(b)
	objects := must(local.Open(filepath.Join(dir, "store")))(b)
	b.Cleanup(func() {
		cat.Close()
		objects.Close()
	})
	return &house{
		b: b, cat: cat,
		kept:    must(store.New(objects, cat.Index(ids[region])))(b),
		account: must(cat.CreateAccount(b.Context(), image.Account{Name: "a", Email: "a@example.com"}))(b).ID,
	}
}

// claim starts an import.
func (h *house) claim(url string) image.Claim {
	h.b.Helper()
	create := image.Create{Name: "i", URL: url, Distribution: "Debian", Region: region}
	must(h.cat.CreateImage(h.b.Context(), h.account, create, image.IdempotencyKey{}))(h.b)
	return *must(h.cat.Claim(h.b.Context(), "w", time.Hour))(h.b)
}

// keep writes a disk to the store and makes an image of it.
func (h *house) keep(d store.Disk) store.Written {
	h.b.Helper()
	c := h.claim("https://example.com/i")
	w := must(h.kept.Write(h.b.Context(), store.Owner{Import: c.ImageID, Lease: c.Lease}, d, nil))(h.b)
	if err := h.cat.Publish(h.b.Context(), c, image.Progress{}, w); err != nil {
		h.b.Fatal(err)
	}
	return w
}

// BenchmarkKeep is the store's part of an import: of a disk that is new, and of one that it has. What the second
// takes is reading, cutting, hashing and looking up; what the first takes more is compressing and writing.
func BenchmarkKeep(b *testing.B) {
	f, size := testFile(b, "disk.qcow2")
	guest := func() disk.Disk { return must(disk.Open(disk.QCOW2, struct{ io.ReaderAt }{f}, size, nil))(b) }
	b.Run("new", func(b *testing.B) {
		measure(b, func() int64 { return newHouse(b).keep(guest()).DataBytes })
	})
	b.Run("known", func(b *testing.B) {
		h := newHouse(b)
		h.keep(guest())
		measure(b, func() int64 { return h.keep(guest()).DataBytes })
	})
}

// BenchmarkFetch reads a kept disk's data in order, a mebibyte at a time.
func BenchmarkFetch(b *testing.B) {
	f, size := testFile(b, "disk.qcow2")
	h := newHouse(b)
	w := h.keep(must(disk.Open(disk.QCOW2, struct{ io.ReaderAt }{f}, size, nil))(b))
	measure(b, func() int64 { return drain(b, must(h.kept.Open(b.Context(), w.Object, w.Manifest))(b)) })
}

// BenchmarkCompress is what compresses chunks, as the store sets it up, alone on one processor, at 64 KiB a time.
func BenchmarkCompress(b *testing.B) {
	const chunk = 64 << 10
	f, size := testFile(b, "disk.qcow2")
	data := make([]byte, min(size, 256<<20))
	must(io.ReadFull(io.NewSectionReader(f, 0, size), data))(b)
	encoder := must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithAllLitEntropyCompression(true)))(b)
	out := make([]byte, 0, 2*chunk)
	for name, encode := range map[string]func(p []byte) []byte{
		"zstd": func(p []byte) []byte { return encoder.EncodeAll(p, out) },
		"s2":   func(p []byte) []byte { return s2.Encode(out[:cap(out)], p) },
	} {
		b.Run(name, func(b *testing.B) {
			stored := 0
			measure(b, func() int64 {
				stored = 0
				for off := 0; off < len(data); off += chunk {
					stored += len(encode(data[off:min(off+chunk, len(data))]))
				}
				return int64(len(data))
			})
			b.ReportMetric(float64(stored)/float64(len(data)), "stored/B")
		})
	}
}

// BenchmarkImport is an import whole, of each of bench/import's cases, into an empty store; the bytes are the guest's data.
func BenchmarkImport(b *testing.B) {
	for _, c := range testdisk.Kinds {
		b.Run(c.Name, func(b *testing.B) {
			testFile(b, nameOf(c.Suffix))
			host := fileServer(b)
			client := newClient(b, host)
			peak := peakHeap(b)
			measure(b, func() int64 {
				h := newHouse(b)
				i := importer.Importer{
					Source: client, Stores: func(string) (*store.Store, error) { return h.kept, nil }, Catalog: h.cat,
					Scratch: b.TempDir(), MaxSize: image.MaxSize, Log: slog.New(slog.DiscardHandler),
				}
				claim := h.claim("http://" + host + "/" + nameOf(c.Suffix))
				if err := i.Run(b.Context(), claim); err != nil {
					b.Fatal(err)
				}
				return must(h.cat.ImportProgress(b.Context(), h.account, claim.ImageID))(b).DataBytes
			})
			b.ReportMetric(peak(), "heap-MB")
		})
	}
}

// peakHeap watches how much memory the Go runtime has from the system, less what it gave back.
func peakHeap(b *testing.B) (most func() float64) {
	var mu sync.Mutex
	var peak uint64
	look := func() float64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		mu.Lock()
		defer mu.Unlock()
		peak = max(peak, m.Sys-m.HeapReleased)
		return float64(peak) / 1e6
	}
	quit := make(chan struct{})
	go func() {
		for {
			select {
			case <-quit:
				return
			case <-time.After(100 * time.Millisecond):
				look()
			}
		}
	}()
	b.Cleanup(func() { close(quit) })
	return look
}
