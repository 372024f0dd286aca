package store

import (
	"hash/maphash"
	"slices"
)

// seen is a set of chunks that takes about 6 bytes for each, whatever their number: a disk of 100 GB has 2.5 million.
// It knows a chunk by 48 bits of a hash, so that it takes one in 100 million for one that it has: what rests on it may be
// that wrong. Nobody who makes chunks can aim at that, since the hash has a seed.
type seen struct {
	seed  maphash.Seed
	parts [1 << 16][]uint32
}

func newSeen() *seen { return &seen{seed: maphash.MakeSeed()} }

// add adds a chunk and says whether it is new.
func (s *seen) add(d Digest) bool {
	sum := maphash.Bytes(s.seed, d[:])
	part, rest := &s.parts[uint16(sum)], uint32(sum>>16)
	if slices.Contains(*part, rest) {
		return false
	}
	*part = append(*part, rest)
	return true
}

// usedPacks are the packs that a disk relies on, with the stored bytes that it uses of each.
type usedPacks map[string]int64

// use notes a chunk's pack, and its bytes if it is the first time. The pack is there either way: only the figures may
// be a little wrong.
func (u usedPacks) use(l *Location, first bool) {
	n := int64(0)
	if first {
		n = int64(l.Stored)
	}
	u[l.Pack] += n
}
