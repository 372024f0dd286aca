package qcow2

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// build makes images in code: header, refcount table, L1 table, then L2 tables and data as they are asked for.
type build struct {
	file        []byte
	clusterBits uint
	extended    bool
	zstd        bool
}

const (
	refcountAt = 1 // clusters
	l1At       = 2
)

type setting struct {
	version      uint32
	clusterBits  uint
	size         uint64
	incompatible uint64
	compression  byte
}

func newBuild(s setting) *build {
	b := &build{clusterBits: s.clusterBits, extended: s.incompatible&bitExtendedL2 != 0, zstd: s.compression == compressionZstd}
	entries := uint64(b.entries())
	span := entries << s.clusterBits
	l1 := (s.size + span - 1) / span
	b.file = make([]byte, (l1At<<s.clusterBits)+(int(l1)*8+b.cluster()-1)&-b.cluster())
	copy(b.file, magic)
	b.u32(4, s.version)
	b.u32(20, uint32(s.clusterBits))
	b.u64(24, s.size)
	b.u32(36, uint32(l1))
	b.u64(40, l1At<<s.clusterBits)
	b.u64(48, refcountAt<<s.clusterBits)
	b.u32(56, 1)
	if s.version == 3 {
		b.u64(72, s.incompatible)
		b.u32(96, 4)
		b.u32(100, 112)
		b.file[104] = s.compression
	}
	return b
}

func (b *build) cluster() int { return 1 << b.clusterBits }

func (b *build) entries() int {
	if b.extended {
		return b.cluster() / 16
	}
	return b.cluster() / 8
}

func (b *build) u32(off int, v uint32) { binary.BigEndian.PutUint32(b.file[off:], v) }
func (b *build) u64(off int, v uint64) { binary.BigEndian.PutUint64(b.file[off:], v) }

func (b *build) get64(off int) uint64 { return binary.BigEndian.Uint64(b.file[off:]) }

// alloc adds whole clusters at the file's end.
func (b *build) alloc(n int) int {
	b.file = append(b.file, make([]byte, -len(b.file)&(b.cluster()-1))...)
	off := len(b.file)
	b.file = append(b.file, make([]byte, n*b.cluster())...)
	return off
}

// entryAt returns where the L2 entry of a guest cluster is, after making the table.
func (b *build) entryAt(i int) int {
	l1 := l1At<<b.clusterBits + i/b.entries()*8
	if b.get64(l1) == 0 {
		table := uint64(b.alloc(1))
		b.u64(l1, table|1<<63)
	}
	width := b.cluster() / b.entries()
	return int(b.get64(l1)&offsetMask) + i%b.entries()*width
}

// plain adds a plain cluster of the byte fill and returns its offset.
func (b *build) plain(i int, fill byte) int {
	at := b.entryAt(i)
	off := b.alloc(1)
	copy(b.file[off:], bytes.Repeat([]byte{fill}, b.cluster()))
	b.u64(at, uint64(off)|1<<63)
	if b.extended {
		b.u64(at+8, allSubclusters)
	}
	return off
}

// stream adds a compressed cluster whose stream is given, right after what is there, and returns its offset.
func (b *build) stream(i int, stream []byte) int {
	at := b.entryAt(i)
	off := len(b.file)
	b.file = append(b.file, stream...)
	b.u64(at, b.descriptor(off, len(stream)))
	return off
}

func (b *build) descriptor(off, length int) uint64 {
	more := (off+length-1)/sectorSize - off/sectorSize
	return entryCompressed | uint64(more)<<(62-(b.clusterBits-8)) | uint64(off)
}

func (b *build) compress(content []byte) []byte {
	if b.zstd {
		w, err := zstd.NewWriter(nil, zstd.WithWindowSize(max(b.cluster(), zstd.MinWindowSize)))
		if err != nil {
			panic(err)
		}
		return w.EncodeAll(content, nil)
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(content); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// clusterOf returns a cluster that compresses to some tenth.
func (b *build) clusterOf(seed byte) []byte {
	p := make([]byte, b.cluster())
	for i := range p {
		p[i] = seed + byte(i*i>>12)
	}
	return p
}

// sample is an image with one of everything: plain, compressed, zero, hole, in two L2 tables.
func sample(s setting) *build {
	b := newBuild(s)
	b.plain(0, 1)
	b.stream(1, b.compress(b.clusterOf(1)))
	b.stream(2, b.compress(b.clusterOf(2)))
	b.plain(3, 3)
	if s.version == 3 && !b.extended {
		b.u64(b.entryAt(5), entryZero)
	}
	if b.extended {
		at := b.entryAt(6)
		b.plain(6, 6)
		b.u64(at+8, 0xff00_0000_00ff_00ff)
	}
	if second := b.entries(); uint64(second) < s.size>>s.clusterBits {
		b.plain(second, 9)
	}
	b.alloc(0)
	return b
}

var settings = map[string]setting{
	"v2":       {version: 2, clusterBits: 12, size: 4 << 20},
	"v3":       {version: 3, clusterBits: 12, size: 4<<20 - 512},
	"zstd":     {version: 3, clusterBits: 9, size: 64 << 10, incompatible: bitCompression, compression: compressionZstd},
	"extended": {version: 3, clusterBits: 14, size: 20 << 20, incompatible: bitExtendedL2},
}

func TestSamplesAreRead(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			b := sample(s)
			got, err := contents(bytes.NewReader(b.file), int64(len(b.file)))
			if err != nil {
				t.Fatal(err)
			}
			n := b.cluster()
			want := make([]byte, s.size)
			copy(want, bytes.Repeat([]byte{1}, n))
			copy(want[n:], b.clusterOf(1))
			copy(want[2*n:], b.clusterOf(2))
			copy(want[3*n:], bytes.Repeat([]byte{3}, n))
			if b.extended {
				for sub := range 24 {
					if sub < 8 || sub >= 16 {
						copy(want[6*n+sub*n/32:6*n+(sub+1)*n/32], bytes.Repeat([]byte{6}, n/32))
					}
				}
			}
			copy(want[b.entries()*n:], bytes.Repeat([]byte{9}, n))
			if !bytes.Equal(got, want) {
				t.Error("the guest's bytes differ")
			}
		})
	}
}
