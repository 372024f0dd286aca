package store_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/store"
)

func TestDiskComesBack(t *testing.T) {
	h := newHouse(t, nil)
	for _, size := range []int{0, 1, 511, 512, 4095, 4096, 4097, 28672, 32767, 32768, 32769, 131072, 1<<20 - 1, 1 << 20, 1<<20 + 4097, 9<<20 + 512} {
		for name, data := range map[string][]byte{"guest": guest(size, uint64(size)), "zeros": make([]byte, size)} {
			_, w := h.keep(whole(data))
			if w.GuestSize != int64(size) {
				t.Errorf("%s of %d: guest size %d", name, size, w.GuestSize)
			}
			disktest.Conform(t, h.open(w), data)
			if t.Failed() {
				t.Fatalf("%s of %d", name, size)
			}
		}
	}
	h.wantSound()
}

// The digest is the guest's: it does not depend on the map of the file that it came in.
func TestDigestIsTheGuests(t *testing.T) {
	h := newHouse(t, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{1000, 40960, 3<<20 + 512, 5<<20 + 4095} {
		data := guest(size, uint64(size))
		_, want := h.keep(whole(data))
		for _, unit := range []int{512, 4096, 65536} {
			for range 3 {
				_, got := h.keep(mapped(data, unit, rng))
				if got.Manifest != want.Manifest || got.DataBytes != want.DataBytes {
					t.Fatalf("size %d, map of %d: digest %v with %d bytes of data, want %v with %d",
						size, unit, got.Manifest, got.DataBytes, want.Manifest, want.DataBytes)
				}
				if got.StoredBytes != 0 || got.SharedBytes != got.DataBytes {
					t.Errorf("size %d, map of %d: stored %d bytes anew, shared %d of %d", size, unit, got.StoredBytes, got.SharedBytes, got.DataBytes)
				}
			}
		}
		data[size/2] ^= 1
		if _, other := h.keep(whole(data)); other.Manifest == want.Manifest {
			t.Errorf("size %d: another guest has the same digest", size)
		}
	}
	h.sweep()
	if got := len(h.names("manifests")); got != 8 {
		t.Errorf("%d manifests of 8 contents", got)
	}
	h.wantSound()
}

// A disk that is moved by whole pages within a larger one shares nearly all.
func TestMovedDataIsShared(t *testing.T) {
	h := newHouse(t, nil)
	data := guest(16<<20, 3)
	h.keep(whole(data))
	moved := append(guest(7*4096, 99), data...)
	_, w := h.keep(whole(moved))
	if w.DataBytes-w.SharedBytes > 512<<10 {
		t.Errorf("%d bytes of %d are new; at most the beginning should be", w.DataBytes-w.SharedBytes, w.DataBytes)
	}
}

// Chunks that come again in one disk, before the index can know the first, are stored once.
func TestRepeatsAreStoredOnce(t *testing.T) {
	h := newHouse(t, nil)
	part := guest(2<<20, 5)
	_, once := h.keep(whole(part))
	part[0]++
	for i := range part { // other bytes, no chunk in common
		part[i] ^= 0x55
	}
	_, w := h.keep(whole(bytes.Repeat(part, 8)))
	if w.StoredBytes > 2*max(once.StoredBytes, 1<<20) {
		t.Errorf("stored %d bytes for 8 times the same 2 MiB", w.StoredBytes)
	}
	var used int64
	for _, n := range w.Packs {
		used += n
	}
	if used != w.StoredBytes {
		t.Errorf("packs are used for %d bytes, %d were stored", used, w.StoredBytes)
	}
}

func TestProgress(t *testing.T) {
	h := newHouse(t, nil)
	data := guest(5<<20, 8)
	var p store.Progress
	c := h.claim()
	w := must(h.Write(t.Context(), owner(c), whole(data), &p))(t)
	if p.GuestBytes.Load() != w.GuestSize || p.DataBytes.Load() != w.DataBytes || p.StoredBytes.Load() != w.StoredBytes || p.SharedBytes.Load() != w.SharedBytes {
		t.Errorf("progress at the end is %d, %d, %d, %d; written %+v", p.GuestBytes.Load(), p.DataBytes.Load(), p.StoredBytes.Load(), p.SharedBytes.Load(), w)
	}
}

// What is imported from files of several formats is one content.
func TestFormatsShareADigest(t *testing.T) {
	path := disktest.RandomRaw(t, 8<<20, 4)
	raw := disktest.Raw(t, path, "raw")
	h := newHouse(t, nil)
	_, want := h.keep(whole(raw))
	for _, format := range []string{"qcow2", "vmdk", "vdi", "vhdx"} {
		got := disktest.Raw(t, disktest.Convert(t, path, format, "raw"), format)
		// A format may round the size up; the test compares what the guest had.
		if !bytes.Equal(got[:len(raw)], raw) || strings.Trim(string(got[len(raw):]), "\x00") != "" {
			t.Fatalf("%s holds another guest", format)
		}
		if _, w := h.keep(whole(got[:len(raw)])); w.Manifest != want.Manifest {
			t.Errorf("%s: digest %v, want %v", format, w.Manifest, want.Manifest)
		}
	}
}
