package store_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
)

// endlessDisk makes its bytes up as they are read, and looks at the heap now and then.
type endlessDisk struct {
	size  int64
	reads atomic.Int64
	heap  atomic.Int64 // the most that was alive
}

func (d *endlessDisk) Size() int64 { return d.size }

func (d *endlessDisk) NextData(off int64) (int64, int64, error) {
	if off >= d.size {
		return 0, 0, io.EOF
	}
	return off, d.size, nil
}

func (d *endlessDisk) ReadAt(p []byte, off int64) (int, error) {
	for i := 0; i+8 <= len(p); i += 8 {
		n := uint64(off) + uint64(i)
		binary.LittleEndian.PutUint64(p[i:], n*0x9e3779b97f4a7c15>>(n/512%60))
	}
	if d.reads.Add(1)%32 == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		d.heap.Store(max(d.heap.Load(), int64(m.HeapAlloc)))
	}
	return len(p), nil
}

// What a write holds does not grow with the disk.
func TestWriteMemoryIsBounded(t *testing.T) {
	h := newHouse(t, nil)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	d := &endlessDisk{size: 192 << 20}
	h.keep(d)
	got := (d.heap.Load() - int64(m.HeapAlloc)) >> 20
	t.Logf("%d MiB alive during the write", got)
	if limit := int64(24 + 20*runtime.GOMAXPROCS(0)); got > limit {
		t.Errorf("%d MiB alive, want at most %d", got, limit)
	}
}

// stuckDisk is a disk whose bytes do not arrive before they are let go.
type stuckDisk struct {
	*memDisk
	waits *atomic.Int64
	let   chan struct{}
}

func (d stuckDisk) ReadAt(p []byte, off int64) (int, error) {
	d.waits.Add(1)
	<-d.let
	return d.memDisk.ReadAt(p, off)
}

// Writes share memory, but one that waits for its source has never so much of it that another one stands still.
func TestWaitingWriteHoldsUpNoOther(t *testing.T) {
	h := newHouse(t, nil)
	var waits atomic.Int64
	stuck := stuckDisk{whole(guest(32<<20, 1)), &waits, make(chan struct{})}
	c := h.claim()
	done := make(chan error, 1)
	go func() {
		_, err := h.Write(t.Context(), owner(c), stuck, nil)
		done <- err
	}()
	for waits.Load() == 0 {
		runtime.Gosched()
	}
	data := guest(32<<20, 2)
	id, _ := h.keep(whole(data))
	if got := must(h.content(id))(t); !bytes.Equal(got, data) {
		t.Error("the image came back changed")
	}
	close(stuck.let)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
