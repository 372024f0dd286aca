package qcow2

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"ingot/internal/refusal"
)

// contents reads a disk as an import does: by its map, once.
func contents(r io.ReaderAt, size int64) ([]byte, error) {
	d, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	all := make([]byte, min(d.Size(), 64<<20))
	for off := int64(0); ; {
		start, end, err := d.NextData(off)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if end > int64(len(all)) {
			return nil, errors.New("the disk is too large for this test")
		}
		if _, err := d.ReadAt(all[start:end], start); err != nil && err != io.EOF {
			return nil, err
		}
		off = end
	}
}

type refused struct {
	name, code string
	on         setting
	change     func(b *build)
}

func set32(off int, v uint32) func(*build) { return func(b *build) { b.u32(off, v) } }
func set64(off int, v uint64) func(*build) { return func(b *build) { b.u64(off, v) } }

// extension puts header extensions at the header's end.
func extension(words ...uint32) func(*build) {
	return func(b *build) {
		for i, w := range words {
			b.u32(112+4*i, w)
		}
	}
}

func headerRefusals() []refused {
	v2, v3, ext := settings["v2"], settings["v3"], settings["extended"]
	return []refused{
		{"not qcow2", "qcow2_magic", v3, set32(0, 0)},
		{"version 0", "qcow2_version", v3, set32(4, 0)},
		{"version 1", "qcow2_version", v3, set32(4, 1)},
		{"version 4", "qcow2_version", v3, set32(4, 4)},
		{"version -1", "qcow2_version", v3, set32(4, 0xffffffff)},
		{"backing file", "qcow2_backing_file", v3, set64(8, 512)},
		{"backing file v2", "qcow2_backing_file", v2, set64(8, 512)},
		{"backing file and data file", "qcow2_backing_file", v3, func(b *build) { b.u64(8, 512); b.u64(72, bitDataFile) }},
		{"backing format alone", "qcow2_backing_file", v3, extension(extensionBackingFormat, 3, 0x72617700, 0)},
		{"data file bit", "qcow2_data_file", v3, set64(72, bitDataFile)},
		{"data file name", "qcow2_data_file", v3, extension(extensionDataFile, 4, 0x2f657463, 0)},
		{"data file json", "qcow2_data_file", v3, extension(extensionDataFile, 8, 0x6a736f6e, 0x3a7b7d20)},
		{"AES", "qcow2_encrypted", v2, set32(32, 1)},
		{"LUKS", "qcow2_encrypted", v3, set32(32, 2)},
		{"unknown encryption", "qcow2_encrypted", v3, set32(32, 0xffffffff)},
		{"encryption header", "qcow2_encrypted", v3, extension(extensionEncryption, 16, 0, 0, 0, 0)},
		{"corrupt", "qcow2_corrupt", v3, set64(72, bitCorrupt)},
		{"unknown feature", "qcow2_feature", v3, set64(72, 1<<5)},
		{"unknown features", "qcow2_feature", v3, set64(72, 1<<63|1<<17|bitDirty)},
		{"compression type 2", "qcow2_compression_type", v3, func(b *build) { b.u64(72, bitCompression); b.file[104] = 2 }},
		{"zstd without its bit", "qcow2_compression_type", v3, func(b *build) { b.file[104] = 1 }},
		{"zlib with the bit", "qcow2_compression_type", v3, set64(72, bitCompression)},
		{"compression bit without field", "qcow2_compression_type", v3,
			func(b *build) { b.u64(72, bitCompression); b.u32(100, 104); b.u64(104, 0) }},
		{"size 0", "qcow2_size", v3, set64(24, 0)},
		{"size 1000", "qcow2_size", v3, set64(24, 1000)},
		{"size beyond the L1 table", "qcow2_l1_size", v3, set64(24, 0x7ffffffffffffe00)},
		{"largest size", "qcow2_l1_size", v3, set64(24, 0xfffffffffffffe00)},
		{"cluster bits 8", "qcow2_cluster_size", v3, set32(20, 8)},
		{"cluster bits 22", "qcow2_cluster_size", v3, set32(20, 22)},
		{"cluster bits 63", "qcow2_cluster_size", v2, set32(20, 63)},
		{"extended with small clusters", "qcow2_cluster_size", ext, set32(20, 13)},
		{"l1_size 0", "qcow2_l1_size", v3, set32(36, 0)},
		{"l1_size too small", "qcow2_l1_size", v3, set32(36, 1)},
		{"l1_size huge", "qcow2_l1_size", v3, set32(36, 0x7fffffff)},
		{"l1_size over 32 MiB", "qcow2_l1_size", v3, set32(36, 32<<20/8+1)},
		{"L1 table unaligned", "qcow2_l1_table", v3, set64(40, 0x1234567890abcdef)},
		{"L1 table far", "qcow2_l1_table", v3, set64(40, 0x7fffffffffff0000)},
		{"L1 table beyond the file", "qcow2_truncated", v3, set64(40, 0x00fffffffffff000)},
		{"L1 table is the header", "qcow2_metadata_overlap", v3, set64(40, 0)},
		{"L1 table is the refcount table", "qcow2_metadata_overlap", v3, set64(40, refcountAt<<12)},
		{"refcount table huge", "qcow2_refcount_table", v3, set32(56, 0xffffffff)},
		{"refcount table none", "qcow2_refcount_table", v3, set32(56, 0)},
		{"refcount table unaligned", "qcow2_refcount_table", v3, set64(48, 0x1001)},
		{"refcount table over the L1 table", "qcow2_metadata_overlap", v3, set32(56, 2)},
		{"refcount order", "qcow2_header", v3, set32(96, 7)},
		{"snapshots -1", "qcow2_snapshot_table", v3, set32(60, 0xffffffff)},
		{"snapshots 65537", "qcow2_snapshot_table", v3, set32(60, 65537)},
		{"snapshot table unaligned", "qcow2_snapshot_table", v3, func(b *build) { b.u32(60, 1); b.u64(64, 0x3004) }},
		{"snapshot table in the header", "qcow2_metadata_overlap", v3, set32(60, 1)},
		{"header length 100", "qcow2_header", v3, set32(100, 100)},
		{"header length 108", "qcow2_header", v3, set32(100, 108)},
		{"header length over a cluster", "qcow2_header", v3, set32(100, 4096+8)},
		{"header length huge", "qcow2_header", v3, set32(100, 0x7ffffff8)},
		{"header length -1", "qcow2_header", v3, set32(100, 0xffffffff)},
		{"extension too long", "qcow2_header_extension", v3, extension(0x12345678, 0x7fffffff)},
		{"extension of -1", "qcow2_header_extension", v3, extension(0x12345678, 0xffffffff)},
		{"extensions without an end", "qcow2_header_extension", v3, extension(0x12345678, 4096-112-8)},
		{"too many extensions", "qcow2_header_extension", v3, func(b *build) {
			for off := 112; off < 4096; off += 8 {
				b.u32(off, 0x12345678)
			}
		}},
	}
}

// entry replaces the L2 entry of a guest cluster.
func entry(i int, desc uint64) func(*build) { return func(b *build) { b.u64(b.entryAt(i), desc) } }

// copied makes guest cluster i what guest cluster j is.
func copied(i, j int) func(*build) {
	return func(b *build) {
		from, to := b.entryAt(j), b.entryAt(i)
		copy(b.file[to:to+b.cluster()/b.entries()], b.file[from:])
	}
}

func mapRefusals() []refused {
	v2, v3, ext, zst := settings["v2"], settings["v3"], settings["extended"], settings["zstd"]
	const l1 = l1At << 12
	return []refused{
		{"L1 entry beyond the file", "qcow2_truncated", v3, set64(l1, 0x00fffffffffff000)},
		{"L1 entry unaligned", "qcow2_l1_entry", v3, set64(l1, 0x4200)},
		{"L1 entry with low bits", "qcow2_l1_entry", v3, set64(l1, 0x4001)},
		{"L1 entry with high bits", "qcow2_l1_entry", v3, set64(l1, 1<<56|0x4000)},
		{"L1 entry is the header", "qcow2_l1_entry", v3, set64(l1, 0x200)},
		{"L1 entry is the L1 table", "qcow2_metadata_overlap", v3, set64(l1, l1)},
		{"L1 entry is the refcount table", "qcow2_metadata_overlap", v3, set64(l1, refcountAt<<12)},
		{"L2 table twice", "qcow2_table_twice", v3, func(b *build) { b.u64(l1+8, b.get64(l1)) }},
		{"L2 table is data", "qcow2_table_twice", v3, func(b *build) { b.u64(l1+8, uint64(b.plain(7, 0))) }},
		{"entry beyond the file", "qcow2_truncated", v3, entry(8, 0x00fffffffffff000)},
		{"entry just beyond the file", "qcow2_truncated", v3, func(b *build) { b.u64(b.entryAt(8), uint64(len(b.file))) }},
		{"entry unaligned", "qcow2_l2_entry", v3, entry(8, 0x3200)},
		{"entry with low bits", "qcow2_l2_entry", v3, entry(8, 0x3002)},
		{"entry with high bits", "qcow2_l2_entry", v3, entry(8, 1<<56|0x3000)},
		{"zero bit in v2", "qcow2_l2_entry", v2, entry(8, 1)},
		{"entry is the L1 table", "qcow2_metadata_overlap", v3, entry(8, l1)},
		{"entry is the refcount table", "qcow2_metadata_overlap", v3, entry(8, refcountAt<<12)},
		{"entry is its L2 table", "qcow2_metadata_overlap", v3, func(b *build) { b.u64(b.entryAt(8), b.get64(l1)) }},
		{"cluster twice", "qcow2_cluster_twice", v3, copied(8, 3)},
		{"cluster twice, v2", "qcow2_cluster_twice", v2, copied(8, 3)},
		{"cluster twice, across tables", "qcow2_cluster_twice", v3, copied(515, 0)},
		{"cluster twice, of 512 bytes", "qcow2_cluster_twice", zst, copied(8, 3)},
		{"stream twice", "qcow2_cluster_twice", v3, copied(8, 1)},
		{"stream twice, zstd", "qcow2_cluster_twice", zst, copied(8, 1)},
		{"stream in a plain cluster", "qcow2_cluster_twice", v3,
			func(b *build) { b.u64(b.entryAt(8), b.descriptor(int(b.get64(b.entryAt(3))&offsetMask), 700)) }},
		{"plain cluster in streams", "qcow2_cluster_twice", v3,
			func(b *build) { b.u64(b.entryAt(8), b.get64(b.entryAt(1))&(1<<40-1)&^0xfff) }},
		{"stream in the header", "qcow2_metadata_overlap", v3, entry(8, entryCompressed|8)},
		{"stream in an L2 table", "qcow2_metadata_overlap", v3,
			func(b *build) { b.u64(b.entryAt(8), b.descriptor(b.entryAt(0), 40)) }},
		{"stream beyond the file", "qcow2_truncated", v3, func(b *build) { b.u64(b.entryAt(8), b.descriptor(len(b.file)-100, 1200)) }},
		{"stream far beyond the file", "qcow2_truncated", v3, entry(8, entryCompressed|1<<54)},
		{"stream offset over 56 bits", "qcow2_l2_entry", v3, entry(8, entryCompressed|1<<56)},
		{"all entries one stream", "qcow2_cluster_twice", v3, func(b *build) {
			for i := 1; i < 500; i++ {
				copied(i, 1)(b)
			}
		}},
		{"extended, compressed with bitmap", "qcow2_l2_entry", ext, func(b *build) { b.u64(b.entryAt(1)+8, 1) }},
		{"extended, zero bit", "qcow2_l2_entry", ext, func(b *build) { b.u64(b.entryAt(8), 1) }},
		{"extended, allocated and zero", "qcow2_l2_entry", ext, func(b *build) { b.u64(b.entryAt(6)+8, 1|1<<32) }},
		{"extended, allocated without offset", "qcow2_l2_entry", ext, func(b *build) { b.u64(b.entryAt(8)+8, 1) }},
		{"extended, cluster twice", "qcow2_cluster_twice", ext, copied(8, 6)},
	}
}

// streamOf puts a stream made of its own cluster's content at guest cluster 8.
func streamOf(make func(b *build) []byte) func(*build) {
	return func(b *build) { b.stream(8, make(b)) }
}

func streamRefusals() []refused {
	v3, zst := settings["v3"], settings["zstd"]
	const code = "qcow2_compressed_cluster"
	long := func(b *build) []byte { return b.compress(make([]byte, b.cluster()+1)) }
	short := func(b *build) []byte { return b.compress(make([]byte, b.cluster()-1)) }
	noise := func(b *build) []byte {
		p := make([]byte, 300)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range p {
			p[i] = byte(rng.Uint32()) | 6 // a reserved block type of deflate
		}
		return p
	}
	return []refused{
		{"deflate, long", code, v3, streamOf(long)},
		{"deflate, short", code, v3, streamOf(short)},
		{"deflate, noise", code, v3, streamOf(noise)},
		{"deflate, empty", code, v3, streamOf(func(*build) []byte { return make([]byte, 8) })},
		{"deflate, sectors missing", code, v3, func(b *build) {
			off := b.stream(8, b.compress(noisy(b.cluster())))
			b.u64(b.entryAt(8), b.descriptor(off, 600))
			b.alloc(1)
		}},
		{"zstd, long", code, zst, streamOf(long)},
		{"zstd, short", code, zst, streamOf(short)},
		{"zstd, noise", code, zst, streamOf(noise)},
		{"zstd, skippable frame", code, zst, streamOf(func(b *build) []byte {
			return append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 0, 0, 0, 0}, b.compress(b.clusterOf(1))...)
		})},
		{"zstd, window of 128 MiB", code, zst, streamOf(func(b *build) []byte { return zstdRLE(17<<3, b.cluster()) })},
		{"zstd, window of 2 KiB for 512 bytes", code, zst, streamOf(func(b *build) []byte { return zstdRLE(1<<3, b.cluster()) })},
		{"zstd, content size of 2^63", code, zst, streamOf(func(b *build) []byte {
			return []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0x10, 0}
		})},
		{"zstd, dictionary", code, zst, streamOf(func(b *build) []byte {
			return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 0, 3, 0x10, 0, 0}
		})},
		{"zstd, block of 2 MiB", code, zst, streamOf(func(b *build) []byte { return zstdRLE(0, 1<<21-1) })},
		{"zstd, frame over its sectors", code, zst, streamOf(func(b *build) []byte {
			return b.compress(noisy(b.cluster()))[:500]
		})},
	}
}

// zstdRLE is a frame with a window descriptor and one block of n equal bytes.
func zstdRLE(window byte, n int) []byte {
	head := n<<3 | 1<<1 | 1
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, byte(head), byte(head >> 8), byte(head >> 16), 'x'}
}

func noisy(n int) []byte {
	p := make([]byte, n)
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

func TestRefusals(t *testing.T) {
	for _, group := range [][]refused{headerRefusals(), mapRefusals(), streamRefusals()} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				b := sample(c.on)
				c.change(b)
				for _, size := range []int64{int64(len(b.file)), -1} {
					_, err := contents(bytes.NewReader(b.file), size)
					r := refusal.As(err)
					if r == nil || r.Code != c.code {
						t.Errorf("size %d: %v, want %s", size, err, c.code)
					} else if size > 0 {
						t.Log(r.Message)
					}
				}
			})
		}
	}
}

// Only the part of the L1 table that maps the disk is read, so the rest is checked against a known size alone.
func TestL1TableBeyondTheFile(t *testing.T) {
	b := sample(settings["v3"])
	b.u32(36, 32<<20/8)
	_, err := Open(bytes.NewReader(b.file), int64(len(b.file)))
	if r := refusal.As(err); r == nil || r.Code != "qcow2_truncated" {
		t.Errorf("%v, want qcow2_truncated", err)
	}
}

// A window of a KiB is the least that zstd has, so it must do for clusters of 512 bytes.
func TestLeastWindow(t *testing.T) {
	b := sample(settings["zstd"])
	b.stream(8, zstdRLE(0, b.cluster()))
	all, err := contents(bytes.NewReader(b.file), int64(len(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte{'x'}, 512); !bytes.Equal(all[8*512:9*512], want) {
		t.Errorf("guest cluster 8 is %q", all[8*512:9*512])
	}
}

func TestUnknownFeatureIsNamed(t *testing.T) {
	b := sample(settings["v3"])
	b.u64(72, 1<<7|1<<9)
	extension(extensionFeatureNames, 2*featureEntry)(b)
	copy(b.file[120:], "\x00\x07time travel")
	copy(b.file[120+featureEntry:], "\x01\x09another bitmap's")
	_, err := Open(bytes.NewReader(b.file), int64(len(b.file)))
	const want = `The image uses features that are not supported: bit 7 ("time travel"), bit 9. ` + adviceConvert
	if r := refusal.As(err); r == nil || r.Message != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// What must not be refused although it looks like it.
func TestAccepted(t *testing.T) {
	v2, v3 := settings["v2"], settings["v3"]
	cases := []struct {
		name   string
		on     setting
		change func(*build)
	}{
		{"dirty", v3, set64(72, bitDirty)},
		{"compatible and autoclear features", v3, func(b *build) { b.u64(80, 0xffffffff); b.u64(88, 2) }},
		{"size of a backing file that is not there", v3, set32(16, 1000)},
		{"header of 104 bytes", v3, func(b *build) { b.u32(100, 104) }},
		{"unknown extension", v3, extension(0x12345678, 5, 1, 2)},
		{"empty backing format", v3, extension(extensionBackingFormat, 0)},
		{"snapshots", v3, func(b *build) { b.u32(60, 2); b.u64(64, uint64(b.alloc(1))) }},
		{"larger L1 table", v3, set32(36, 500)},
		{"zero cluster beyond the file", v3, entry(8, 0x00fffffffffff000|entryZero)},
		{"bit 63 with a stream", v2, func(b *build) { b.u64(b.entryAt(1), b.get64(b.entryAt(1))|1<<63) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := sample(c.on)
			want, err := contents(bytes.NewReader(b.file), int64(len(b.file)))
			if err != nil {
				t.Fatal(err)
			}
			c.change(b)
			for _, size := range []int64{int64(len(b.file)), -1} {
				got, err := contents(bytes.NewReader(b.file), size)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("size %d: %v, same bytes %t", size, err, bytes.Equal(got, want))
				}
			}
		})
	}
}
