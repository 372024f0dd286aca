package store

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"testing"
)

func numbered(n int) Digest {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// As many chunks as a disk of 100 GB has take a small part of what an import may have.
func TestSeen(t *testing.T) {
	const chunks = 2_500_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := newSeen()
	wrong := 0
	for i := range chunks {
		if !s.add(numbered(i)) {
			wrong++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if wrong > 3 {
		t.Errorf("%d of %d new chunks were taken for others", wrong, chunks)
	}
	for i := 0; i < chunks; i += 997 {
		if s.add(numbered(i)) {
			t.Fatalf("chunk %d is new again", i)
		}
	}
	if took := int64(after.HeapAlloc-before.HeapAlloc) >> 20; took > 24 {
		t.Errorf("%d chunks take %d MiB", chunks, took)
	}
}

// A pack is relied on even if all of its chunks were taken for others: the sweep goes by the names.
func TestUsedPacksKnowEveryPack(t *testing.T) {
	u := usedPacks{}
	u.use(&Location{Pack: "a", Stored: 10}, true)
	u.use(&Location{Pack: "a", Stored: 10}, false)
	u.use(&Location{Pack: "b", Stored: 10}, false)
	if n, ok := u["b"]; u["a"] != 10 || !ok || n != 0 {
		t.Errorf("used = %v", u)
	}
}
