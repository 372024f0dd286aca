package decompress

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"ingot/internal/refusal"
)

// What a file is wrapped in, as Compression names it.
const (
	None  = "none"
	Gzip  = "gzip"
	Bzip2 = "bzip2"
)

// HeadSize is how many of a file's first bytes tell every wrapper.
const HeadSize = 512

// wrapper is a way to wrap a file that is told by its first bytes.
type wrapper struct {
	name    string
	at      int
	magic   string
	archive bool
	unpack  string // the command; of an archive it takes everything out
}

// accepted are the wrappers that are decompressed. A gzip file may name any method and any flags in the bytes after,
// and a bzip2 file any level; their decoders refuse those by name.
var accepted = []wrapper{
	{name: Gzip, magic: "\x1f\x8b", unpack: "gunzip disk.gz"},
	{name: Bzip2, magic: "BZh", unpack: "bunzip2 disk.bz2"},
}

// refused are the wrappers that are recognised to be refused by name.
var refused = []wrapper{
	{name: "xz", magic: "\xfd7zXZ\x00", unpack: "unxz disk.xz"},
	{name: "zstd", magic: "\x28\xb5\x2f\xfd", unpack: "unzstd --rm disk.zst"},
	{name: "lz4", magic: "\x04\x22\x4d\x18", unpack: "unlz4 --rm disk.lz4"},
	{name: "lz4 (legacy)", magic: "\x02\x21\x4c\x18", unpack: "unlz4 --rm disk.lz4"},
	{name: "lzop", magic: "\x89LZO\x00\x0d\x0a\x1a\x0a", unpack: "lzop -dU disk.lzo"},
	{name: "lzip", magic: "LZIP", unpack: "lzip -d disk.lz"},
	{name: "lzma", magic: "\x5d\x00\x00", unpack: "unlzma disk.lzma"},
	{name: "compress (.Z)", magic: "\x1f\x9d", unpack: "uncompress disk.Z"},
	{name: "zip", magic: "PK\x03\x04", archive: true, unpack: "unzip disk.zip"},
	{name: "zip", magic: "PK\x05\x06", archive: true, unpack: "unzip disk.zip"},
	{name: "zip", magic: "PK\x07\x08", archive: true, unpack: "unzip disk.zip"},
	{name: "tar (also OVA)", at: 257, magic: "ustar", archive: true, unpack: "tar -xf disk.tar"},
	{name: "7z", magic: "7z\xbc\xaf\x27\x1c", archive: true, unpack: "7z x disk.7z"},
	{name: "RAR", magic: "Rar!\x1a\x07", archive: true, unpack: "unrar x disk.rar"},
}

// compressionOf names what the decoders here take off a file that starts with head.
func compressionOf(head []byte) string {
	if w := recognise(head, accepted); w != nil {
		return w.name
	}
	return None
}

// Unsupported refuses a file whose first bytes, HeadSize of them or all, are those of a wrapper that is not accepted.
func Unsupported(head []byte) error {
	w := recognise(head, refused)
	switch {
	case w == nil:
		return nil
	case w.archive:
		return refusal.New("compression_unsupported", "We don't support the compression format of your image. "+
			"It is an archive, %s; a disk image, plain or compressed with gzip or bzip2, is accepted. "+
			"Take the disk image out of it (%s) and compress that alone: gzip disk.raw", w.name, w.unpack)
	}
	return refusal.New("compression_unsupported", "We don't support the compression format of your image. "+
		"It is compressed with %s; gzip and bzip2 are accepted. Compress it anew: %s && gzip disk", w.name, w.unpack)
}

// Nested refuses what comes out of a gzip or bzip2 file if its first bytes, HeadSize of them or all, are those of a
// further wrapper, accepted or not.
func Nested(head []byte) error {
	w := recognise(head, accepted)
	if w == nil {
		w = recognise(head, refused)
	}
	switch {
	case w == nil:
		return nil
	case w.archive:
		return refusal.New("compression_nested", "We don't support the compression format of your image. "+
			"What is compressed is an archive, %s, and not a disk image. "+
			"Take the disk image out of it (%s) and compress that alone: gzip disk.raw", w.name, w.unpack)
	}
	return refusal.New("compression_nested", "We don't support the compression format of your image. "+
		"It is compressed twice: what is compressed is itself compressed with %s. "+
		"Decompress both (the inner one with %s) and compress once: gzip disk", w.name, w.unpack)
}

func recognise(head []byte, known []wrapper) *wrapper {
	for i, w := range known {
		if len(head) > w.at && bytes.HasPrefix(head[w.at:], []byte(w.magic)) && (w.name != "lzma" || isLZMA(head)) {
			return &known[i]
		}
	}
	return nil
}

// isLZMA tells an .lzma file, which has no magic (LZMA specification, section 1.1, ".lzma file format"), by what xz
// wants of one: a dictionary of 2^n or 2^n + 2^(n-1) bytes and an unknown size or one below 256 GiB.
func isLZMA(head []byte) bool {
	if len(head) < 14 {
		return false
	}
	dictionary := binary.LittleEndian.Uint32(head[1:])
	upper := dictionary >> max(0, bits.Len32(dictionary)-2)
	if dictionary == 0 || dictionary<<(32-bits.Len32(dictionary)+2) != 0 || upper < 2 {
		return false
	}
	size := binary.LittleEndian.Uint64(head[5:])
	return (size == 1<<64-1 || size < 256<<30) && head[13] == 0
}
