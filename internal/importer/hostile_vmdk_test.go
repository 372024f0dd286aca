package importer_test

import (
	"bytes"
	"compress/zlib"
	"strconv"
	"strings"

	"ingot/internal/disk/craft"
)

var vmdkGuest = craft.Guest(4*mib, 2)

func sparseCase(name, code string, change func(m *craft.VMDK)) hostile {
	return hostile{name: name, code: code, guest: vmdkGuest, make: func() []byte {
		m := craft.SparseVMDK(vmdkGuest, craft.SparseDescriptor)
		change(m)
		return m.Bytes
	}}
}

func streamCase(name, code string, change func(m *craft.VMDK)) hostile {
	return hostile{name: name, code: code, guest: vmdkGuest, make: func() []byte {
		m := craft.StreamVMDK(vmdkGuest, craft.StreamDescriptor)
		change(m)
		return m.Bytes
	}}
}

func vmdk32(at int64, v uint32) func(*craft.VMDK) { return func(m *craft.VMDK) { m.Put32(at, v) } }
func vmdk64(at int64, v uint64) func(*craft.VMDK) { return func(m *craft.VMDK) { m.Put64(at, v) } }

func vmdkHeaders() []hostile {
	return []hostile{
		sparseCase("sound", "", func(*craft.VMDK) {}),
		streamCase("sound stream", "", func(*craft.VMDK) {}),
		sparseCase("capacity 0", "vmdk_capacity", vmdk64(12, 0)),
		sparseCase("capacity 2^53", "vmdk_capacity", vmdk64(12, 1<<53)),
		{name: "capacity at the bound", code: "disk_too_large", make: func() []byte { return vmdkOfSectors(100_000_000_000/512 + 1).Bytes }},
		{name: "capacity 2^32, tables of 1 entry", code: "vmdk_grain_table_size", make: func() []byte {
			m := vmdkOfSectors(1 << 32)
			m.Put32(44, 1)
			return m.Bytes
		}},
		sparseCase("capacity beyond the extent's", "vmdk_extent_size", vmdk64(12, 1<<30)),
		sparseCase("grain 0", "vmdk_grain_size", vmdk64(20, 0)),
		sparseCase("grain 1", "vmdk_grain_size", vmdk64(20, 1)),
		sparseCase("grain 100", "vmdk_grain_size", vmdk64(20, 100)),
		sparseCase("grain 256", "vmdk_grain_size", vmdk64(20, 256)),
		sparseCase("grain 2^64-1", "vmdk_grain_size", vmdk64(20, 1<<64-1)),
		sparseCase("table of 0 entries", "vmdk_grain_table_size", vmdk32(44, 0)),
		sparseCase("table of 1 entry", "vmdk_grain_table_size", vmdk32(44, 1)),
		sparseCase("table of 2^32-1 entries", "vmdk_grain_table_size", vmdk32(44, 0xffffffff)),
		sparseCase("descriptor at sector 2", "vmdk_descriptor", vmdk64(28, 2)),
		sparseCase("descriptor of 2^60 sectors", "vmdk_descriptor", vmdk64(36, 1<<60)),
		sparseCase("descriptor of 4 MiB", "vmdk_descriptor", vmdk64(36, 8192)),
		sparseCase("directory beyond the end", "vmdk_truncated", vmdk64(56, 1<<30)),
		sparseCase("directory in the header", "vmdk_directory", vmdk64(56, 0)),
		sparseCase("directory at 2^40", "vmdk_directory", vmdk64(56, 1<<40)),
		sparseCase("footer of a sparse disk", "vmdk_directory", vmdk64(56, 1<<64-1)),
		sparseCase("redundant directory anywhere", "", vmdk64(48, 1<<60)),
		sparseCase("version 0", "vmdk_version", vmdk32(4, 0)),
		sparseCase("version 4", "vmdk_version", vmdk32(4, 4)),
		streamCase("compression algorithm 2", "vmdk_compression", func(m *craft.VMDK) { m.Put16(77, 2) }),
		streamCase("ASCII-mode damage", "vmdk_newline", func(m *craft.VMDK) { m.Text(73, "\n \n\n") }),
		sparseCase("truncated to a half", "vmdk_truncated", func(m *craft.VMDK) { m.Bytes = m.Bytes[:len(m.Bytes)/2] }),
		streamCase("stream truncated to a half", "vmdk_truncated", func(m *craft.VMDK) { m.Bytes = m.Bytes[:len(m.Bytes)/2] }),
	}
}

// vmdkOfSectors announces a disk of that size, in its header and its descriptor; there is no more of it.
func vmdkOfSectors(n uint64) *craft.VMDK {
	m := craft.SparseVMDK(vmdkGuest, strings.Replace(craft.SparseDescriptor, "%d", strconv.FormatUint(n, 10), 1))
	m.Put64(12, n)
	return m
}

func vmdkDescriptors() []hostile {
	const text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"
	foreign := func(name, head string) hostile {
		return hostile{name: "text descriptor, " + name, code: "vmdk_text_descriptor", make: func() []byte { return []byte(head) }}
	}
	embedded := func(name, code, from, to string) hostile {
		return hostile{name: name, code: code, make: func() []byte {
			return craft.SparseVMDK(vmdkGuest, strings.Replace(craft.SparseDescriptor, from, to, 1)).Bytes
		}}
	}
	const line = "RW %d SPARSE \"a.vmdk\"\n"
	return []hostile{
		foreign("flat", text),
		foreign("comments first", strings.Repeat("# padding\r\n", 3000)+text),
		foreign("CRLF", strings.ReplaceAll(text, "\n", "\r\n")),
		foreign("byte order mark", "\ufeff"+text),
		foreign("upper case", strings.ToUpper(text)),
		foreign("blank line first", "\n"+text),
		foreign("type says sparse", strings.Replace(text, "monolithicFlat", "monolithicSparse", 1)),
		foreign("relative name", strings.Replace(text, "/etc/passwd", "passwd", 1)),
		{name: "COWD", code: "vmdk_cowd", make: func() []byte { return append([]byte("COWD\x01\x00\x00\x00"), make([]byte, 4096)...) }},
		{name: "seSparse", code: "vmdk_sesparse", make: func() []byte {
			return append([]byte("\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"), make([]byte, 4096)...)
		}},
		embedded("parent CID", "vmdk_parent", "ffffffff", "7e5b80a7"),
		embedded("parent's name", "vmdk_parent", line, line+"parentFileNameHint=\"/etc/passwd\"\n"),
		embedded("another tenant as parent", "vmdk_parent", line, line+"parentFileNameHint=\"../0f6c/disk.vmdk\"\n"),
		embedded("two extents", "vmdk_extents", line, line+"RW 8 SPARSE \"b.vmdk\"\n"),
		embedded("flat extent", "vmdk_extents", line, "RW %d FLAT \"a.vmdk\" 0\n"),
		embedded("zero extent", "vmdk_descriptor", line, line+"RW 8 ZERO\n"),
		embedded("VMFS extent", "vmdk_extents", line, "RW %d VMFS \"a.vmdk\"\n"),
		embedded("VMFSRDM extent", "vmdk_extents", line, "RW %d VMFSRDM \"a.vmdk\"\n"),
		embedded("SESPARSE extent", "vmdk_extents", line, "RW %d SESPARSE \"a.vmdk\"\n"),
		embedded("absolute extent", "vmdk_extents", "a.vmdk", "/etc/passwd"),
		embedded("extent upwards", "vmdk_extents", "a.vmdk", "../a.vmdk"),
		embedded("extent on a drive", "vmdk_extents", "a.vmdk", "C:\\a.vmdk"),
		embedded("extent by URL", "vmdk_extents", "a.vmdk", "http://169.254.169.254/"),
		embedded("extent json", "vmdk_extents", "a.vmdk", "json:{}"),
		embedded("flat disk in a sparse file", "vmdk_create_type", "monolithicSparse", "monolithicFlat"),
	}
}

func vmdkTables() []hostile {
	return []hostile{
		sparseCase("grain table beyond the end", "vmdk_truncated", func(m *craft.VMDK) { m.Put32(m.Directory, 1<<30) }),
		sparseCase("grain table in the header", "vmdk_directory", func(m *craft.VMDK) { m.Put32(m.Directory, 1) }),
		{name: "grain table twice", code: "vmdk_directory", make: func() []byte {
			m := craft.SparseVMDK(craft.Guest(40*mib, 3), craft.SparseDescriptor)
			m.Put32(m.Directory+4, uint32(m.Tables[0]/512))
			return m.Bytes
		}},
		sparseCase("grain beyond the end", "vmdk_truncated", func(m *craft.VMDK) { m.SetEntry(0, 1<<31) }),
		sparseCase("grain twice", "vmdk_grain_overlap", func(m *craft.VMDK) { m.SetEntry(lastGrain(m), uint32(m.Grains[0]/512)) }),
		sparseCase("grain in metadata", "vmdk_grain_overlap", func(m *craft.VMDK) { m.SetEntry(0, 1) }),
	}
}

func lastGrain(m *craft.VMDK) (last int64) {
	for g := range m.Grains {
		last = max(last, g)
	}
	return last
}

func vmdkStreams() []hostile {
	last := func(fn func(m *craft.VMDK, at int64)) func(*craft.VMDK) {
		return func(m *craft.VMDK) { fn(m, m.Grains[lastGrain(m)]) }
	}
	return []hostile{
		streamCase("no footer", "vmdk_footer", func(m *craft.VMDK) { clear(m.Bytes[m.Footer-512:]) }),
		streamCase("footer's capacity", "vmdk_footer", func(m *craft.VMDK) { m.Put64(m.Footer+12, 512<<31) }),
		streamCase("footer's descriptor", "vmdk_footer", func(m *craft.VMDK) { m.Put64(m.Footer+36, 21) }),
		streamCase("footer refers to another", "vmdk_footer", func(m *craft.VMDK) { m.Put64(m.Footer+56, 1<<64-1) }),
		streamCase("footer's marker", "vmdk_marker", func(m *craft.VMDK) { m.Put32(m.Footer-512+12, 9) }),
		streamCase("address beyond the disk", "vmdk_marker", last(func(m *craft.VMDK, at int64) { m.Put64(at, 1<<40) })),
		streamCase("address that does not increase", "vmdk_stream_order", last(func(m *craft.VMDK, at int64) { m.Put64(at, 128) })),
		streamCase("address twice", "vmdk_stream_order", last(func(m *craft.VMDK, at int64) { m.Put64(at, 0) })),
		streamCase("grain of no length", "vmdk_marker", last(func(m *craft.VMDK, at int64) { m.Put32(at+8, 0) })),
		streamCase("grain longer than twice a grain", "vmdk_marker", last(func(m *craft.VMDK, at int64) { m.Put32(at+8, 129*kib) })),
		streamCase("grain inflates to too much", "vmdk_grain_data", last(func(m *craft.VMDK, at int64) {
			m.Write(at+12, zlibOf(make([]byte, 8*mib))...)
		})),
		streamCase("end of stream missing", "vmdk_truncated", func(m *craft.VMDK) { m.Bytes = m.Bytes[:m.EOS] }),
		{name: "grain table in a grain that has been read", code: "vmdk_stream_directory", make: func() []byte {
			m := craft.StreamVMDK(craft.Guest(32*mib, 6), craft.StreamDescriptor)
			m.Put32(m.Directory, uint32(m.Grains[0]/512))
			return m.Bytes
		}},
		streamCase("data after the end", "vmdk_trailing", func(m *craft.VMDK) { m.Grow(m.EOS + 1024) }),
	}
}

func zlibOf(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}
