package store_test

import (
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/store"
)

// benchGuest is the raw disk that INGOT_BENCH_DISK names, or 256 MiB that are made.
func benchGuest(b *testing.B) []byte {
	if path := os.Getenv("INGOT_BENCH_DISK"); path != "" {
		return must(os.ReadFile(path))(b)
	}
	return guest(256<<20, 1)
}

// BenchmarkWrite keeps a disk that the store does not know, and one that it has: the processor's time, in user and
// system mode, in nanoseconds a byte of the disk.
func BenchmarkWrite(b *testing.B) {
	data := benchGuest(b)
	b.Run("new", func(b *testing.B) {
		var spent time.Duration
		var w store.Written
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			b.StopTimer()
			h := newHouse(b, nil)
			begun := processorTime(b)
			b.StartTimer()
			_, w = h.keep(whole(data))
			spent += processorTime(b) - begun
		}
		b.ReportMetric(float64(w.StoredBytes)/float64(w.DataBytes), "stored/data")
		b.ReportMetric(float64(spent)/float64(b.N)/float64(len(data)), "cpu-ns/B")
	})
	b.Run("known", func(b *testing.B) {
		h := newHouse(b, nil)
		h.keep(whole(data))
		b.SetBytes(int64(len(data)))
		begun := processorTime(b)
		for b.Loop() {
			h.keep(whole(data))
		}
		b.ReportMetric(float64(processorTime(b)-begun)/float64(b.N)/float64(len(data)), "cpu-ns/B")
	})
}

// processorTime is what this process has used of the processors.
func processorTime(b *testing.B) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func BenchmarkRead(b *testing.B) {
	data := benchGuest(b)
	h := newHouse(b, nil)
	_, w := h.keep(whole(data))
	for name, size := range map[string]int{"4KiB": 4 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20, "4MiB": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(w.DataBytes)
			buf := make([]byte, size)
			for b.Loop() {
				if err := drain(h.open(w), buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// drain reads a disk's data in order.
func drain(r *store.Reader, buf []byte) error {
	for off := int64(0); ; {
		start, end, err := r.NextData(off)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for at := start; at < end; {
			n, err := r.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			if err != nil && err != io.EOF {
				return err
			}
			at += int64(n)
		}
		off = end
	}
}
