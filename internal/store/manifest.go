package store

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"sort"
)

// A manifest, version 1, is one object that lists the chunks of a guest's disk; what lies between two is a hole. All
// numbers are little-endian.
//
//	blocks    of 1024 records, the last of fewer; record: guest offset u64, length u32, digest [32]
//	index     for each block: guest offset of its first record u64, SHA-256 of the block [32]
//	trailer   "INGOTMAN", version u32, chunker u32, guest size u64, bytes in chunks u64, count of records u64
//
// Index and trailer are the root, and the image's content digest is the SHA-256 of the root: so a reader checks what
// it reads, and need not read the whole to trust a part. The largest disk has 4 million records, 180 MB, and a root of
// 160 KB.
const (
	manifestMagic   = "INGOTMAN"
	manifestVersion = 1
	manifestTrailer = 8 + 4 + 4 + 8 + 8 + 8
	recordSize      = 8 + 4 + 32
	blockRecords    = 1024
	indexEntry      = 8 + 32
)

// corrupt says what is wrong with bytes that were read well.
type corrupt string

func (c corrupt) Error() string { return string(c) }

const (
	errManifest = corrupt("the manifest contradicts itself")
	errDigest   = corrupt("the manifest does not match the image's digest")
)

// record is one chunk of a guest.
type record struct {
	off    int64
	n      uint32
	digest Digest
}

func (r *record) end() int64 { return r.off + int64(r.n) }

// manifestWriter streams a manifest to its object.
type manifestWriter struct {
	object  ObjectWriter
	size    int64
	records uint64
	data    int64
	block   []byte
	first   int64 // guest offset of the block's first record
	index   []byte
}

func (m *manifestWriter) add(off int64, n int, digest Digest) error {
	if len(m.block) == 0 {
		m.first = off
	}
	m.block = binary.LittleEndian.AppendUint64(m.block, uint64(off))
	m.block = binary.LittleEndian.AppendUint32(m.block, uint32(n))
	m.block = append(m.block, digest[:]...)
	m.records++
	m.data += int64(n)
	if len(m.block) < blockRecords*recordSize {
		return nil
	}
	return m.flush()
}

func (m *manifestWriter) flush() error {
	if len(m.block) == 0 {
		return nil
	}
	sum := sha256.Sum256(m.block)
	m.index = binary.LittleEndian.AppendUint64(m.index, uint64(m.first))
	m.index = append(m.index, sum[:]...)
	n, err := m.object.Write(m.block)
	m.size += int64(n)
	m.block = m.block[:0]
	return err
}

// commit makes the manifest durable and returns the content digest.
func (m *manifestWriter) commit(guestSize int64) (Digest, error) {
	if err := m.flush(); err != nil {
		return Digest{}, err
	}
	root := append(m.index, manifestMagic...)
	root = binary.LittleEndian.AppendUint32(root, manifestVersion)
	root = binary.LittleEndian.AppendUint32(root, chunkerID)
	root = binary.LittleEndian.AppendUint64(root, uint64(guestSize))
	root = binary.LittleEndian.AppendUint64(root, uint64(m.data))
	root = binary.LittleEndian.AppendUint64(root, m.records)
	n, err := m.object.Write(root)
	m.size += int64(n)
	if err != nil {
		return Digest{}, err
	}
	return sha256.Sum256(root), m.object.Commit()
}

// manifest is the root of one manifest.
type manifest struct {
	guestSize int64
	dataBytes int64
	records   int64
	first     []int64 // guest offset of each block's first record
	sums      []Digest
	digest    Digest // of the root
}

func (m *manifest) rootSize() int64 { return int64(len(m.first))*indexEntry + manifestTrailer }

// readManifest reads the root of a manifest object of the given size. The digest that it must have is checked first,
// so that nothing else is looked at in what somebody changed.
func readManifest(r io.ReaderAt, size int64, digest Digest) (*manifest, error) {
	if size < manifestTrailer {
		return nil, errManifest
	}
	var trailer [manifestTrailer]byte
	if err := readFull(r, trailer[:], size-manifestTrailer); err != nil {
		return nil, err
	}
	records := binary.LittleEndian.Uint64(trailer[32:])
	if records > uint64(size)/recordSize {
		return nil, errManifest
	}
	blocks := (int64(records) + blockRecords - 1) / blockRecords
	rootSize := blocks*indexEntry + manifestTrailer
	if int64(records)*recordSize+rootSize != size {
		return nil, errManifest
	}
	root := make([]byte, rootSize)
	if err := readFull(r, root, size-rootSize); err != nil {
		return nil, err
	}
	if sha256.Sum256(root) != digest {
		return nil, errDigest
	}
	m, err := parseRoot(root, int64(records))
	if err != nil {
		return nil, err
	}
	m.digest = digest
	return m, nil
}

func parseRoot(root []byte, records int64) (*manifest, error) {
	index, trailer := root[:len(root)-manifestTrailer], root[len(root)-manifestTrailer:]
	m := &manifest{
		guestSize: int64(binary.LittleEndian.Uint64(trailer[16:])),
		dataBytes: int64(binary.LittleEndian.Uint64(trailer[24:])),
		records:   records,
	}
	known := string(trailer[:8]) == manifestMagic && binary.LittleEndian.Uint32(trailer[8:]) == manifestVersion &&
		binary.LittleEndian.Uint32(trailer[12:]) == chunkerID
	if !known || m.guestSize < 0 || m.dataBytes < 0 || m.dataBytes > m.guestSize {
		return nil, errManifest
	}
	for last := int64(-1); len(index) > 0; index = index[indexEntry:] {
		first := int64(binary.LittleEndian.Uint64(index))
		if first <= last || first >= m.guestSize {
			return nil, errManifest
		}
		m.first, last = append(m.first, first), first
		m.sums = append(m.sums, Digest(index[8:indexEntry]))
	}
	return m, nil
}

// blockOf returns the block in which a chunk at or before a guest offset would stand, -1 if that is before all.
func (m *manifest) blockOf(off int64) int {
	return sort.Search(len(m.first), func(i int) bool { return m.first[i] > off }) - 1
}

// readRaw reads the bytes of one block of records and checks them.
func (m *manifest) readRaw(r io.ReaderAt, i int) ([]byte, error) {
	count := min(m.records-int64(i)*blockRecords, blockRecords)
	b := make([]byte, count*recordSize)
	if err := readFull(r, b, int64(i)*blockRecords*recordSize); err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != m.sums[i] {
		return nil, corrupt("a part of the manifest does not match its sum")
	}
	return b, nil
}

// readBlock reads one block of records.
func (m *manifest) readBlock(r io.ReaderAt, i int) ([]record, error) {
	b, err := m.readRaw(r, i)
	if err != nil {
		return nil, err
	}
	limit := m.guestSize
	if i+1 < len(m.first) {
		limit = m.first[i+1]
	}
	records, ok := parseBlock(b, m.first[i], limit)
	if !ok {
		return nil, errManifest
	}
	return records, nil
}

// parseBlock checks that records ascend from first, do not overlap, and end by limit.
func parseBlock(b []byte, first, limit int64) ([]record, bool) {
	records := make([]record, 0, len(b)/recordSize)
	for at := first; len(b) >= recordSize; b = b[recordSize:] {
		r := record{
			off:    int64(binary.LittleEndian.Uint64(b)),
			n:      binary.LittleEndian.Uint32(b[8:]),
			digest: Digest(b[12:recordSize]),
		}
		if r.off < at || r.n == 0 || r.n > maxChunk || r.off > limit-int64(r.n) {
			return nil, false
		}
		at = r.end()
		records = append(records, r)
	}
	return slices.Clip(records), len(records) > 0 && records[0].off == first
}
