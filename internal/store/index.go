package store

import (
	"context"
	"encoding/hex"
	"fmt"
)

// Digest is the SHA-256 of a chunk's guest bytes, or of a manifest's root (see manifest.go).
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads what String has written.
func ParseDigest(text string) (d Digest, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("%q is no digest", text)
	}
	return Digest(b), nil
}

// Owner is the import that pins what it relies on, by its image's id, or the copying of an image to this store, by the
// negative id of its action. Lease is its fencing token: every call under a lost lease fails.
type Owner struct {
	Import int64
	Lease  string
}

// Kind is what an object holds.
type Kind string

// The kinds of object.
const (
	KindPack     Kind = "pack"
	KindManifest Kind = "manifest"
)

// Location is where a chunk's bytes are. The zero Location means that the store does not hold the chunk.
type Location struct {
	Pack   string // object name
	Offset int64  // in the pack
	Stored uint32 // bytes in the pack
	Length uint32 // guest bytes
	Codec  Codec
}

// Entry is a chunk in a pack.
type Entry struct {
	Digest Digest
	Location
}

// Index is the chunk index of one store. It lives in the catalogue, so that what becomes known does so in one
// transaction with what relies on it.
//
// The order that keeps a crash harmless: Begin before the first byte of an object; the object durable; then Add (a
// pack) or publication (a manifest). What a crash leaves behind is an object in state "writing" whose owner is gone:
// the sweep deletes it by name and never needs to list the store.
type Index interface {
	// Begin registers an object that the owner is about to write. Names are unique and never used again.
	Begin(ctx context.Context, o Owner, kind Kind, name string) error

	// Find returns where each chunk is, in the order asked, and pins the packs named for the owner until it
	// publishes or fails: a sweep neither drops nor rewrites a pinned pack.
	Find(ctx context.Context, o Owner, digests []Digest) ([]Location, error)

	// Add makes the chunks of a durable pack known, and pins the pack for the owner. Where another import was first
	// with a chunk, its copy stays the known one: the result gives the valid location of every entry, pinned.
	Add(ctx context.Context, o Owner, pack string, size int64, entries []Entry) ([]Location, error)

	// Locate is Find for readers: it pins nothing, so a pack may be gone when it is read. Then ask again, once.
	Locate(ctx context.Context, digests []Digest) ([]Location, error)
}

// Written is what a finished write left in the store, durable but not yet published. The catalogue's Publish turns
// the owner's pins into references.
type Written struct {
	Manifest Digest // content digest: depends on the guest's bytes alone, not on the format they came in
	Object   string // name of the manifest's object
	Size     int64  // bytes of that object

	GuestSize   int64
	DataBytes   int64            // guest bytes held by chunks
	StoredBytes int64            // written by this import, compressed
	SharedBytes int64            // guest bytes that the store held already
	Packs       map[string]int64 // packs relied on, with the stored bytes used of each (a chunk counted once)
}

// Codec is how a chunk's bytes are kept in its pack.
type Codec uint8

// The codecs. The values stand in packs and in the chunk index and never change.
const (
	CodecNone Codec = iota
	CodecZstd
	CodecS2
)
