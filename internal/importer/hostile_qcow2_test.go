package importer_test

import (
	"bytes"
	"encoding/binary"

	"ingot/internal/disk/craft"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

var (
	qcow2Guest = craft.Guest(4*mib, 1)
	qcow2V3    = craft.Setting{Version: 3, ClusterBits: 16, Size: 4 * mib}
)

// qcow2Case damages a sound image of version 3 with clusters of 64 KiB.
func qcow2Case(name, code string, change func(q *craft.QCOW2)) hostile {
	return qcow2On(qcow2V3, name, code, change)
}

func qcow2On(s craft.Setting, name, code string, change func(q *craft.QCOW2)) hostile {
	return hostile{name: name, code: code, guest: qcow2Guest, make: func() []byte {
		q := craft.NewQCOW2(s).Fill(qcow2Guest)
		change(q)
		return q.Bytes
	}}
}

func big32(at int64, v uint32) func(*craft.QCOW2) { return func(q *craft.QCOW2) { q.Big32(at, v) } }
func big64(at int64, v uint64) func(*craft.QCOW2) { return func(q *craft.QCOW2) { q.Big64(at, v) } }

// qcow2Extension puts a header extension at the header's end.
func qcow2Extension(kind, length uint32, text string) func(*craft.QCOW2) {
	return func(q *craft.QCOW2) {
		q.Big32(112, kind)
		q.Big32(116, length)
		q.Text(120, text)
	}
}

func qcow2Headers() []hostile {
	const dataFile = 0x44415441
	v2 := craft.Setting{Version: 2, ClusterBits: 12, Size: 4 * mib}
	zstd := craft.Setting{Version: 3, ClusterBits: 12, Size: 4 * mib, Zstd: true}
	return []hostile{
		qcow2Case("sound", "", func(*craft.QCOW2) {}),
		qcow2On(v2, "version 2", "", func(*craft.QCOW2) {}),
		qcow2On(zstd, "zstd", "", func(*craft.QCOW2) {}),
		qcow2Case("backing file", "qcow2_backing_file", func(q *craft.QCOW2) { q.Big64(8, 512); q.Big32(16, 11); q.Text(512, "/etc/passwd") }),
		qcow2Case("backing file without a name", "qcow2_backing_file", big64(8, 512)),
		qcow2On(v2, "backing file, version 2", "qcow2_backing_file", big64(8, 512)),
		qcow2Case("backing format without a backing file", "qcow2_backing_file", qcow2Extension(0xE2792ACA, 3, "raw")),
		qcow2Case("external data file", "qcow2_data_file", big64(72, 4)),
		qcow2Case("data file's name, bit clear", "qcow2_data_file", qcow2Extension(dataFile, 11, "/etc/passwd")),
		qcow2Case("data file json", "qcow2_data_file", qcow2Extension(dataFile, 47, `json:{"driver":"file","filename":"/etc/passwd"}`)),
		qcow2Case("encryption header", "qcow2_encrypted", qcow2Extension(0x0537be77, 16, "0123456789abcdef")),
		qcow2Case("version 1", "format_qcow1", big32(4, 1)),
		qcow2Case("version 4", "qcow2_version", big32(4, 4)),
		qcow2Case("version 2^32-1", "qcow2_version", big32(4, 0xffffffff)),
		qcow2Case("unknown incompatible bit 5", "qcow2_feature", big64(72, 1<<5)),
		qcow2Case("unknown incompatible bit 63", "qcow2_feature", big64(72, 1<<63)),
		qcow2Case("extended L2 with clusters of 4 KiB", "qcow2_cluster_size", func(q *craft.QCOW2) { q.Big64(72, 1<<4); q.Big32(20, 12) }),
		{name: "extended L2", make: extendedQCOW2, guest: qcow2Guest},
		qcow2Case("corrupt bit", "qcow2_corrupt", big64(72, 2)),
		qcow2Case("dirty bit", "", big64(72, 1)),
		qcow2Case("AES", "qcow2_encrypted", big32(32, 1)),
		qcow2Case("LUKS", "qcow2_encrypted", big32(32, 2)),
		qcow2Case("compression type 2", "qcow2_compression_type", func(q *craft.QCOW2) { q.Big64(72, 8); q.Write(104, 2) }),
		qcow2Case("zstd without its bit", "qcow2_compression_type", func(q *craft.QCOW2) { q.Write(104, 1) }),
		qcow2Case("size at the bound", "disk_too_large", func(q *craft.QCOW2) { q.Big64(24, 100_000_000_000/512*512+512); q.Big32(36, 187) }),
		qcow2Case("size not a multiple of 512", "qcow2_size", big64(24, 1000)),
		qcow2Case("size 0", "qcow2_size", big64(24, 0)),
		qcow2Case("largest size", "qcow2_l1_size", big64(24, 0x7ffffffffffffe00)),
		qcow2Case("cluster bits 8", "qcow2_cluster_size", big32(20, 8)),
		qcow2Case("cluster bits 22", "qcow2_cluster_size", big32(20, 22)),
		qcow2Case("cluster bits 63", "qcow2_cluster_size", big32(20, 63)),
		qcow2Case("header length 2^31", "qcow2_header", big32(100, 0x7ffffff8)),
		qcow2Case("header length 2^32-1", "qcow2_header", big32(100, 0xffffffff)),
		qcow2Case("header length 100", "qcow2_header", big32(100, 100)),
		qcow2Case("header longer than a cluster", "qcow2_header", big32(100, 64*kib+8)),
		qcow2Case("extension too long", "qcow2_header_extension", qcow2Extension(0x12345678, 0x7fffffff, "")),
		qcow2Case("extensions without an end", "qcow2_header_extension", qcow2Extension(0x12345678, 64*kib-120, "")),
		qcow2Case("too many extensions", "qcow2_header_extension", func(q *craft.QCOW2) {
			for at := int64(112); at < 64*kib; at += 8 {
				q.Big32(at, 0x12345678)
			}
		}),
		qcow2Case("refcount order 7", "qcow2_header", big32(96, 7)),
	}
}

func qcow2Tables() []hostile {
	const l1 = craft.L1At * 64 * kib
	return []hostile{
		qcow2Case("l1_size 2^31-1", "qcow2_l1_size", big32(36, 0x7fffffff)),
		qcow2Case("l1_size too small", "qcow2_l1_size", big32(36, 0)),
		qcow2Case("L1 table over 32 MiB", "qcow2_l1_size", big32(36, 32*mib/8+1)),
		qcow2Case("L1 table unaligned", "qcow2_l1_table", big64(40, 0x1234567890abcdef)),
		qcow2Case("L1 table beyond the file", "qcow2_truncated", big64(40, 1<<40)),
		qcow2Case("L1 table at the end of time", "qcow2_l1_table", big64(40, 0x7fffffffffff0000)),
		qcow2Case("L1 table is the header", "qcow2_metadata_overlap", big64(40, 0)),
		qcow2Case("refcount table of 2^32-1 clusters", "qcow2_refcount_table", big32(56, 0xffffffff)),
		qcow2Case("refcount table unaligned", "qcow2_refcount_table", big64(48, 0x10001)),
		qcow2Case("2^32-1 snapshots", "qcow2_snapshot_table", big32(60, 0xffffffff)),
		qcow2Case("65537 snapshots", "qcow2_snapshot_table", big32(60, 65537)),
		qcow2Case("snapshot table unaligned", "qcow2_snapshot_table", func(q *craft.QCOW2) { q.Big32(60, 1); q.Big64(64, 0x30004) }),
		qcow2Case("snapshots", "", func(q *craft.QCOW2) { q.Big32(60, 2); q.Big64(64, uint64(q.Alloc(1))) }),
		qcow2Case("L1 entry beyond the file", "qcow2_truncated", big64(l1, 1<<40)),
		qcow2Case("L1 entry unaligned", "qcow2_l1_entry", big64(l1, 0x10200)),
		qcow2Case("L1 entry is the header", "qcow2_l1_entry", big64(l1, 0x200)),
		qcow2Case("L1 entry with reserved bits", "qcow2_l1_entry", big64(l1, 1<<56|5*64*kib)),
		qcow2Case("L1 table as its own L2 table", "qcow2_metadata_overlap", big64(l1, l1)),
		{name: "L2 table twice", code: "qcow2_table_twice", make: func() []byte {
			q := craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 16, Size: 1 << 30})
			q.Plain(0, []byte("x"))
			q.Big64(l1+8, q.Get64(l1))
			return q.Bytes
		}},
		{name: "L2 table in data that has been read", code: "qcow2_table_twice", make: func() []byte {
			q := craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 12, Size: 16 * mib})
			first := q.Plain(0, bytes.Repeat([]byte("data"), kib))
			for i := int64(1); i < 6*mib/q.Cluster; i++ {
				q.Plain(i, bytes.Repeat([]byte("data"), kib))
			}
			q.Big64(craft.L1At*q.Cluster+8*4, uint64(first))
			return q.Bytes
		}},
	}
}

// qcow2Entry replaces the L2 entry of a guest cluster that was a hole.
func qcow2Entry(desc func(q *craft.QCOW2) uint64) func(*craft.QCOW2) {
	return func(q *craft.QCOW2) {
		hole := int64(0)
		for q.Get64(q.Entry(hole)) != 0 {
			hole++
		}
		q.Big64(q.Entry(hole), desc(q))
	}
}

// sameAs is an entry that the image has already: the first one that is, or is not, compressed.
func sameAs(compressed bool) func(q *craft.QCOW2) uint64 {
	return func(q *craft.QCOW2) uint64 {
		for i := int64(0); ; i++ {
			if e := q.Get64(q.Entry(i)); e != 0 && e>>62&1 == 1 == compressed {
				return e
			}
		}
	}
}

func entryOf(v uint64) func(*craft.QCOW2) uint64 { return func(*craft.QCOW2) uint64 { return v } }

func packedStream(make func(q *craft.QCOW2) []byte) func(*craft.QCOW2) {
	return func(q *craft.QCOW2) {
		at := int64(len(q.Bytes))
		q.Write(at, make(q)...)
		qcow2Entry(entryOf(q.Descriptor(at, int64(len(q.Bytes))-at)))(q)
		q.Alloc(1)
	}
}

func qcow2Clusters() []hostile {
	zstd := craft.Setting{Version: 3, ClusterBits: 12, Size: 4 * mib, Zstd: true}
	return []hostile{
		qcow2Case("cluster far beyond the file", "qcow2_truncated", qcow2Entry(entryOf(0x00ffffffffff0000))),
		qcow2Case("cluster unaligned", "qcow2_l2_entry", qcow2Entry(entryOf(0x30200))),
		qcow2Case("cluster in metadata", "qcow2_metadata_overlap", qcow2Entry(entryOf(craft.L1At*64*kib))),
		qcow2Case("cluster twice", "qcow2_cluster_twice", qcow2Entry(sameAs(false))),
		qcow2Case("compressed cluster twice", "qcow2_cluster_twice", qcow2Entry(sameAs(true))),
		qcow2Case("compressed cluster beyond the file", "qcow2_truncated",
			qcow2Entry(func(q *craft.QCOW2) uint64 { return q.Descriptor(int64(len(q.Bytes))-100, 2000) })),
		qcow2Case("deflate too long", "qcow2_compressed_cluster", packedStream(func(q *craft.QCOW2) []byte { return q.Compress(make([]byte, q.Cluster+1)) })),
		qcow2Case("deflate too short", "qcow2_compressed_cluster", packedStream(func(q *craft.QCOW2) []byte { return q.Compress(make([]byte, q.Cluster-1)) })),
		qcow2Case("deflate of noise", "qcow2_compressed_cluster", packedStream(func(q *craft.QCOW2) []byte { return bytes.Repeat([]byte{7, 0xff}, 300) })),
		{name: "deflate with a window of more than 4 KiB", make: func() []byte {
			return craft.NewQCOW2(qcow2V3).Fill(farGuest).Bytes
		}, guest: farGuest},
		qcow2On(zstd, "zstd window of 128 MiB", "qcow2_compressed_cluster", packedStream(func(q *craft.QCOW2) []byte {
			head := binary.LittleEndian.AppendUint32(nil, uint32(q.Cluster)<<3|1<<1|1)
			return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, head[0], head[1], head[2]}, 'x')
		})),
		{name: "328 KiB that unfold to 8 GiB", code: "qcow2_cluster_twice", make: unfoldingQCOW2},
		{name: "100 bytes", code: "qcow2_truncated", make: func() []byte { return craft.NewQCOW2(qcow2V3).Bytes[:100] }},
		cutQCOW2("cut in the header", 0), cutQCOW2("cut in the L1 table", 1), cutQCOW2("cut in an L2 table", 2), cutQCOW2("cut in the last cluster", 3),
	}
}

func cutQCOW2(name string, where int) hostile {
	return hostile{name: name, code: "qcow2_truncated", make: func() []byte {
		b := craft.NewQCOW2(qcow2V3).Fill(qcow2Guest).Bytes
		return b[:[]int{80, 2*64*kib + 4, 3*64*kib + 100, len(b) - 60*kib}[where]]
	}}
}

// farGuest has in its second cluster, which Fill compresses, what stood 24 KiB before.
var farGuest = func() []byte {
	b := bytes.Clone(qcow2Guest)
	copy(b[64*kib:], bytes.Repeat(craft.Guest(24*kib, 8), 3)[:64*kib])
	return b
}()

// unfoldingQCOW2 has one cluster of data and one table, which sixteen entries of the L1 table share.
func unfoldingQCOW2() []byte {
	q := craft.NewQCOW2(craft.Setting{Version: 3, ClusterBits: 16, Size: 8 << 30})
	q.Packed(0, q.Compress(bytes.Repeat([]byte("amplify "), 8*kib)))
	q.Alloc(0)
	const l1 = craft.L1At * 64 * kib
	first := q.Entry(0)
	for i := int64(1); i < 8*kib; i++ {
		q.Big64(first+8*i, q.Get64(first))
	}
	for i := int64(1); i < 16; i++ {
		q.Big64(l1+8*i, q.Get64(l1))
	}
	return q.Bytes
}

// extendedQCOW2 holds qcow2Guest in subclusters of 2 KiB: those that are not of zeros are mapped, and what the file has at
// the places of the others is not the guest's.
func extendedQCOW2() []byte {
	q := craft.NewQCOW2(qcow2V3)
	q.Big64(72, 1<<4)
	table := q.Alloc(1)
	q.Big64(craft.L1At*q.Cluster, uint64(table)|1<<63)
	sub := q.Cluster / 32
	for at := int64(0); at < int64(len(qcow2Guest)); at += q.Cluster {
		host := q.Alloc(1)
		q.Write(host, bytes.Repeat([]byte("not the guest's "), int(q.Cluster/16))...)
		var live uint64
		for i := range int64(32) {
			b := qcow2Guest[at+i*sub:][:sub]
			if bytes.Count(b, []byte{0}) == len(b) {
				continue
			}
			q.Write(host+i*sub, b...)
			live |= 1 << i
		}
		q.Big64(table+at/q.Cluster*16, uint64(host)|1<<63)
		q.Big64(table+at/q.Cluster*16+8, live)
	}
	return q.Bytes
}
