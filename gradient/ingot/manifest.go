package ingot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"ingot/gradient/internal/requestconfig"
	"ingot/gradient/option"
)

// ManifestService tells what images consist of.
type ManifestService struct{ Options []option.RequestOption }

// Manifest lists the chunks of a guest's disk, in the disk's order; what lies between two is a hole of zeros. Who has
// another version of a disk can compare, and fetch only what changed.
type Manifest struct {
	// GuestSize is the disk's size in bytes; DataBytes are those in chunks.
	GuestSize, DataBytes int64
	Chunks               []Chunk
	// ContentDigest names the guest's content, in lower-case hexadecimal digits: [Import.ContentDigest] of an import
	// that made the same disk, and what the ETag of the image's files begins with.
	ContentDigest string
}

// Chunk is a piece of a guest's disk, in bytes.
type Chunk struct {
	Offset, Length int64
	SHA256         [sha256.Size]byte // of the bytes as the guest sees them
}

// Get retrieves the manifest of an image that is available.
func (s *ManifestService) Get(ctx context.Context, imageID int64, opts ...option.RequestOption) (*Manifest, error) {
	id, err := requestconfig.PathInt("image_id", imageID)
	if err != nil {
		return nil, err
	}
	c, err := requestconfig.New(ctx, http.MethodGet, "v2/images/"+id+"/manifest", nil, nil, merged(s.Options, opts)...)
	if err != nil {
		return nil, err
	}
	c.Header.Set("Accept", "application/vnd.ingot.manifest")
	res, err := c.Send()
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxManifest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the manifest: %w", err)
	case len(data) > maxManifest:
		return nil, errManifest
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, err
	}
	if tag := res.Header.Get("ETag"); tag != "" && tag != `"`+m.ContentDigest+`"` {
		return nil, errManifest
	}
	return m, nil
}

// The form of a manifest, version 1. All numbers are little-endian.
//
//	blocks    of 1024 records, the last of fewer; record: guest offset u64, length u32, SHA-256 [32]
//	index     for each block: guest offset of its first record u64, SHA-256 of the block [32]
//	trailer   "INGOTMAN", version u32, chunker u32, guest size u64, bytes in chunks u64, count of records u64
//
// Index and trailer are the root; the content digest is the SHA-256 of the root.
const (
	manifestMagic   = "INGOTMAN"
	manifestVersion = 1
	trailerSize     = 8 + 4 + 4 + 8 + 8 + 8
	recordSize      = 8 + 4 + sha256.Size
	blockRecords    = 1024
	indexEntry      = 8 + sha256.Size
	maxManifest     = 256 << 20 // the largest disk's has 180 MB
)

var errManifest = errors.New("this is no manifest that this version reads, or it is damaged")

// ParseManifest reads a manifest and checks every sum in it. That it is the manifest of the image in question is for
// the caller to compare: see ContentDigest.
func ParseManifest(data []byte) (*Manifest, error) {
	if len(data) < trailerSize {
		return nil, errManifest
	}
	trailer := data[len(data)-trailerSize:]
	records := binary.LittleEndian.Uint64(trailer[32:])
	if string(trailer[:8]) != manifestMagic || binary.LittleEndian.Uint32(trailer[8:]) != manifestVersion || records > uint64(len(data))/recordSize {
		return nil, errManifest
	}
	blocks := (int(records) + blockRecords - 1) / blockRecords
	if int(records)*recordSize+blocks*indexEntry+trailerSize != len(data) {
		return nil, errManifest
	}
	root := sha256.Sum256(data[int(records)*recordSize:])
	m := &Manifest{
		GuestSize:     int64(binary.LittleEndian.Uint64(trailer[16:])),
		DataBytes:     int64(binary.LittleEndian.Uint64(trailer[24:])),
		Chunks:        make([]Chunk, 0, records),
		ContentDigest: hex.EncodeToString(root[:]),
	}
	index := data[int(records)*recordSize : len(data)-trailerSize]
	for block := data[:int(records)*recordSize]; len(index) > 0; index = index[indexEntry:] {
		n := min(len(block), blockRecords*recordSize)
		if sum := sha256.Sum256(block[:n]); !bytes.Equal(sum[:], index[8:indexEntry]) {
			return nil, errManifest
		}
		m.add(block[:n])
		block = block[n:]
	}
	return m, m.check()
}

func (m *Manifest) add(records []byte) {
	for ; len(records) > 0; records = records[recordSize:] {
		m.Chunks = append(m.Chunks, Chunk{
			Offset: int64(binary.LittleEndian.Uint64(records)),
			Length: int64(binary.LittleEndian.Uint32(records[8:])),
			SHA256: [sha256.Size]byte(records[12:recordSize]),
		})
	}
}

// check holds the chunks to their order and to the disk's size.
func (m *Manifest) check() error {
	end, data := int64(0), int64(0)
	for _, c := range m.Chunks {
		if c.Offset < end || c.Length == 0 || c.Offset > m.GuestSize-c.Length {
			return errManifest
		}
		end, data = c.Offset+c.Length, data+c.Length
	}
	if m.GuestSize < 0 || data != m.DataBytes {
		return errManifest
	}
	return nil
}
