package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/refusal"
)

// wantCode drains a file with its size known and unknown; both must be refused with the code.
func wantCode(t *testing.T, code string, file []byte) {
	t.Helper()
	for _, size := range []int64{int64(len(file)), -1} {
		err := drain(file, size, nil)
		if r := refusal.As(err); r == nil || r.Code != code {
			t.Errorf("size %d: %v, want %s", size, err, code)
		} else if len(r.Message) < 60 || len(r.Message) > 600 {
			t.Errorf("message of %d bytes: %s", len(r.Message), r.Message)
		}
	}
}

func TestRefuseHeader(t *testing.T) {
	want := guest(3<<20, 11)
	sparse, stream := makeSparse(want, options{}), makeStream(want, options{})
	u64 := func(at int64, v uint64) func([]byte) { return func(b []byte) { put64(b, at, v) } }
	u32 := func(at int64, v uint32) func([]byte) { return func(b []byte) { put32(b, at, v) } }
	for _, tc := range []struct {
		name, code string
		m          *made
		change     func([]byte)
	}{
		{"magic", "vmdk_header", sparse, u32(0, 0)},
		{"version 0", "vmdk_version", sparse, u32(4, 0)},
		{"version 4", "vmdk_version", stream, u32(4, 4)},
		{"version 2^32-1", "vmdk_version", sparse, u32(4, 0xffffffff)},
		{"unknown flag", "vmdk_flags", sparse, u32(8, 1<<18|1)},
		{"newline test", "vmdk_newline", sparse, func(b []byte) { copy(b[73:], "\n \n\n") }},
		{"algorithm 2", "vmdk_compression", stream, func(b []byte) { b[77] = 2 }},
		{"algorithm without flag", "vmdk_compression", sparse, func(b []byte) { b[77] = 1 }},
		{"flag without algorithm", "vmdk_compression", stream, func(b []byte) { b[77] = 0 }},
		{"compressed without markers", "vmdk_compression", stream, u32(8, flagNewline|flagCompressed)},
		{"markers without compression", "vmdk_compression", sparse, u32(8, flagNewline|flagMarkers)},
		{"capacity 0", "vmdk_capacity", sparse, u64(12, 0)},
		{"capacity 2^53", "vmdk_capacity", sparse, u64(12, 1<<53)},
		{"capacity 2^64-1", "vmdk_capacity", stream, u64(12, 1<<64-1)},
		{"capacity beyond the directory", "vmdk_extent_size", sparse, u64(12, 1<<30)},
		{"capacity less than the extent", "vmdk_extent_size", stream, u64(12, 128)},
		{"grain 0", "vmdk_grain_size", sparse, u64(20, 0)},
		{"grain 1", "vmdk_grain_size", sparse, u64(20, 1)},
		{"grain 100", "vmdk_grain_size", stream, u64(20, 100)},
		{"grain 256", "vmdk_grain_size", sparse, u64(20, 256)},
		{"grain 2^64-1", "vmdk_grain_size", sparse, u64(20, 1<<64-1)},
		{"descriptor at 2", "vmdk_descriptor", sparse, u64(28, 2)},
		{"no descriptor", "vmdk_no_descriptor", sparse, u64(28, 0)},
		{"descriptor of no length", "vmdk_no_descriptor", sparse, u64(36, 0)},
		{"descriptor of 2^60 sectors", "vmdk_descriptor", sparse, u64(36, 1<<60)},
		{"descriptor beyond the end", "vmdk_truncated", makeSparse(make([]byte, 512), options{}),
			func(b []byte) { put64(b, 36, maxDescriptor); put64(b, 56, maxDescriptor+1) }},
		{"table of 0", "vmdk_grain_table_size", sparse, u32(44, 0)},
		{"table of 1", "vmdk_grain_table_size", sparse, u32(44, 1)},
		{"table of 2^32-1", "vmdk_grain_table_size", stream, u32(44, 0xffffffff)},
		{"directory at 0", "vmdk_directory", sparse, u64(56, 0)},
		{"directory in descriptor", "vmdk_directory", sparse, u64(56, 20)},
		{"directory beyond the end", "vmdk_truncated", sparse, u64(56, 1<<30)},
		{"directory at 2^40", "vmdk_directory", sparse, u64(56, 1<<40)},
		{"footer of a sparse disk", "vmdk_directory", sparse, u64(56, 1<<64-1)},
		{"overhead 0", "vmdk_header", stream, u64(64, 0)},
		{"overhead 2^63", "vmdk_header", stream, u64(64, 1<<63)},
		{"overhead beyond the end", "vmdk_truncated", stream, u64(64, 1<<31)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := bytes.Clone(tc.m.file)
			tc.change(file)
			wantCode(t, tc.code, file)
		})
	}
}

// TestIgnored changes what is not relied upon.
func TestIgnored(t *testing.T) {
	want := guest(3<<20, 11)
	for name, change := range map[string]func([]byte){
		"unclean shutdown":    func(b []byte) { b[72] = 1 },
		"redundant directory": func(b []byte) { put64(b, 48, 1<<60) },
		"unknown soft flag":   func(b []byte) { put32(b, 8, flagNewline|1<<9) },
		"no newline test":     func(b []byte) { put32(b, 8, 0); clear(b[73:77]) },
	} {
		file := bytes.Clone(makeSparse(want, options{}).file)
		change(file)
		if err := drain(file, -1, want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefuseDescriptor(t *testing.T) {
	const head = "# Disk DescriptorFile\nversion=1\nCID=1\n"
	const parent, kind, line = "parentCID=ffffffff\n", "createType=\"monolithicSparse\"\n", "RW %d SPARSE \"a.vmdk\"\n"
	for _, tc := range []struct{ name, code, text string }{
		{"parent CID", "vmdk_parent", head + "parentCID=7e5b80a7\n" + kind + line},
		{"no parent CID", "vmdk_parent", head + kind + line},
		{"parent file", "vmdk_parent", head + parent + kind + line + "parentFileNameHint=\"/etc/passwd\"\n"},
		{"parent file, other case", "vmdk_parent", head + parent + kind + line + "PARENTFILENAMEHINT = \"../0f/disk.vmdk\"\r\n"},
		{"two parent CIDs", "vmdk_descriptor", head + parent + "parentCID=00000001\n" + kind + line},
		{"two types", "vmdk_descriptor", head + parent + kind + "createType=\"monolithicFlat\"\n" + line},
		{"no type", "vmdk_create_type", head + parent + line},
		{"flat type", "vmdk_create_type", head + parent + "createType=\"monolithicFlat\"\n" + line},
		{"split type", "vmdk_create_type", head + parent + "createType=\"twoGbMaxExtentSparse\"\n" + line},
		{"other type than the header's", "vmdk_create_type", head + parent + "createType=\"streamOptimized\"\n" + line},
		{"no extent", "vmdk_extents", head + parent + kind},
		{"two extents", "vmdk_extents", head + parent + kind + line + "RW 8 SPARSE \"b.vmdk\"\n"},
		{"flat extent", "vmdk_extents", head + parent + kind + "RW %d FLAT \"a.vmdk\" 0\n"},
		{"flat extent behind a tab", "vmdk_extents", head + parent + kind + line + "RW\t8\tFLAT\t\"a=b\"\t0\n"},
		{"raw device", "vmdk_extents", head + parent + kind + "RW %d VMFSRDM \"a.vmdk\"\n"},
		{"no access", "vmdk_extents", head + parent + kind + "NOACCESS %d SPARSE \"a.vmdk\"\n"},
		{"absolute path", "vmdk_extents", head + parent + kind + "RW %d SPARSE \"/etc/passwd\"\n"},
		{"path upwards", "vmdk_extents", head + parent + kind + "RW %d SPARSE \"..\"\n"},
		{"drive", "vmdk_extents", head + parent + kind + "RW %d SPARSE \"C:\\a.vmdk\"\n"},
		{"URL", "vmdk_extents", head + parent + kind + "RW %d SPARSE \"http://a/b\"\n"},
		{"pseudo-protocol", "vmdk_extents", head + parent + kind + "RW %d SPARSE \"json:{}\"\n"},
		{"other size", "vmdk_extent_size", head + parent + kind + "RW 1 SPARSE \"a.vmdk\"\n"},
		{"negative size", "vmdk_descriptor", head + parent + kind + "RW -1 SPARSE \"a.vmdk\"\n"},
		{"no name", "vmdk_descriptor", head + parent + kind + "RW %d SPARSE\n"},
		{"offset", "vmdk_descriptor", head + parent + kind + "RW %d SPARSE \"a.vmdk\" 128\n"},
		{"encrypted", "vmdk_encrypted", head + parent + kind + line + "encryption.keySafe = \"vmware:key/list\"\n"},
		{"line of noise", "vmdk_descriptor", head + parent + kind + line + "hello\n"},
		{"control character", "vmdk_descriptor", head + parent + kind + line + "a=\x07\n"},
		{"long line", "vmdk_descriptor", head + parent + kind + line + strings.Repeat("é", 1000)},
		{"empty", "vmdk_parent", "# nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantCode(t, tc.code, makeSparse(make([]byte, 1<<20), options{descriptor: tc.text}).file)
		})
	}
}

func TestRefuseDirectory(t *testing.T) {
	want := guest(5<<20, 12)
	m := makeSparse(want, options{grain: 8})
	first, second := firstTwo(m)
	for _, tc := range []struct {
		name, code string
		change     func(m *made)
	}{
		{"same table twice", "vmdk_directory", func(m *made) { put32(m.file, m.directory+4, uint32(m.tables[0]/512)) }},
		{"table in header", "vmdk_directory", func(m *made) { put32(m.file, m.directory, 1) }},
		{"table in directory", "vmdk_directory", func(m *made) { put32(m.file, m.directory, uint32(m.directory/512)) }},
		{"tables overlap", "vmdk_directory", func(m *made) { put32(m.file, m.directory, uint32(m.tables[1]/512-1)) }},
		{"table beyond the end", "vmdk_truncated", func(m *made) { put32(m.file, m.directory, 1<<30) }},
		{"table at the last sector", "vmdk_truncated", func(m *made) { put32(m.file, m.directory, 0xffffffff) }},
		{"same grain twice", "vmdk_grain_overlap", func(m *made) { m.setEntry(first, uint32(m.grains[second]/512)) }},
		{"grains overlap", "vmdk_grain_overlap", func(m *made) { m.setEntry(first, uint32(m.grains[second]/512+7)) }},
		{"grain in the header", "vmdk_grain_overlap", func(m *made) { m.setEntry(first, 1) }},
		{"grain in a table", "vmdk_grain_overlap", func(m *made) { m.setEntry(first, uint32(m.tables[1]/512+3)) }},
		{"grain reaches a table", "vmdk_grain_overlap", func(m *made) { m.setEntry(first, uint32(m.directory/512-1)) }},
		{"grain beyond the end", "vmdk_truncated", func(m *made) { m.setEntry(first, 1<<31) }},
		{"grain partly beyond the end", "vmdk_truncated", func(m *made) { m.setEntry(first, uint32(len(m.file)/512-7)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := *m
			c.file = bytes.Clone(m.file)
			tc.change(&c)
			if tc.name == "grain partly beyond the end" { // it must overlap nothing, so the grain there moves away
				for g, at := range c.grains {
					if at == int64(len(c.file))-4<<10 {
						c.setEntry(g, 0)
					}
				}
			}
			wantCode(t, tc.code, c.file)
		})
	}
}

func firstTwo(m *made) (first, second int64) {
	first, second = -1, -1
	for g := range int64(512) {
		if m.grains[g] == 0 {
			continue
		}
		if first >= 0 {
			return first, g
		}
		first = g
	}
	return first, second
}

func TestRefuseStream(t *testing.T) {
	want := guest(5<<20, 13)
	m := makeStream(want, options{grain: 8})
	first, second := firstTwo(m)
	var last, afterHole int64
	for g := range m.grains {
		last = max(last, g)
		if _, ok := m.grains[g-1]; !ok {
			afterHole = max(afterHole, g)
		}
	}
	marker := func(g int64, lba uint64, size uint32) func([]byte) {
		return func(b []byte) { put64(b, m.grains[g], lba); put32(b, m.grains[g]+8, size) }
	}
	for _, tc := range []struct {
		name, code string
		change     func(b []byte)
	}{
		{"address beyond the disk", "vmdk_marker", func(b []byte) { put64(b, m.grains[first], 5<<11) }},
		{"address of 2^64-1", "vmdk_marker", func(b []byte) { put64(b, m.grains[first], 1<<64-1) }},
		{"address within a grain", "vmdk_marker", func(b []byte) { put64(b, m.grains[first], uint64(first*8+1)) }},
		{"same address twice", "vmdk_marker", func(b []byte) { put64(b, m.grains[first], uint64(second*8)) }},
		{"address after later ones", "vmdk_stream_order", func(b []byte) { put64(b, m.grains[last], 0) }},
		{"address not in the directory", "vmdk_stream_directory", func(b []byte) { put64(b, m.grains[afterHole], uint64(afterHole-1)*8) }},
		{"size 0", "vmdk_marker", marker(first, 9, 0)},
		{"size 2^32-1", "vmdk_marker", marker(first, uint64(first*8), 0xffffffff)},
		{"size beyond twice the grain", "vmdk_marker", marker(first, uint64(first*8), 9<<10)},
		{"checksum", "vmdk_grain_data", func(b []byte) { b[m.grains[first]+12+int64(sizeAt(m, first))-1] ^= 1 }},
		{"not zlib", "vmdk_grain_data", func(b []byte) { b[m.grains[first]+12] = 0 }},
		{"unknown metadata", "vmdk_marker", func(b []byte) { put32(b, m.tables[0]-512+12, 5) }},
		{"table of 3 sectors", "vmdk_marker", func(b []byte) { put64(b, m.tables[0]-512, 3) }},
		{"metadata of 2^63 sectors", "vmdk_marker", func(b []byte) { put64(b, m.tables[0]-512, 1<<63) }},
		{"directory too short", "vmdk_marker", func(b []byte) { put64(b, m.directory-512, 0) }},
		{"directory has another place", "vmdk_stream_directory", func(b []byte) { put32(b, m.tables[0]+first*4, 130) }},
		{"directory lacks a grain", "vmdk_stream_directory", func(b []byte) { put32(b, m.tables[0]+first*4, 0) }},
		{"directory lacks a table", "vmdk_stream_directory", func(b []byte) { put32(b, m.directory, 0) }},
		{"table beyond the end", "vmdk_stream_directory", func(b []byte) { put32(b, m.directory, 1<<31) }},
		{"no footer", "vmdk_footer", func(b []byte) { clear(b[m.footer-512:]) }},
		{"no directory", "vmdk_footer", func(b []byte) { clear(b[m.directory-512:]) }},
		{"two footers", "vmdk_marker", func(b []byte) { copy(b[m.eos:], b[m.footer-512:m.footer]) }},
		{"footer of 2 sectors", "vmdk_marker", func(b []byte) { put64(b, m.footer-512, 2) }},
		{"footer's magic", "vmdk_footer", func(b []byte) { b[m.footer] = 'k' }},
		{"footer's capacity", "vmdk_footer", func(b []byte) { put64(b, m.footer+12, 1<<23) }},
		{"footer's huge capacity", "vmdk_footer", func(b []byte) { put64(b, m.footer+12, 1<<40) }},
		{"footer's version", "vmdk_footer", func(b []byte) { put32(b, m.footer+4, 1) }},
		{"footer's descriptor", "vmdk_footer", func(b []byte) { put64(b, m.footer+36, 21) }},
		{"footer refers to another", "vmdk_footer", func(b []byte) { put64(b, m.footer+56, 1<<64-1) }},
		{"footer's directory", "vmdk_footer", func(b []byte) { put64(b, m.footer+56, uint64(m.tables[0]/512)) }},
		{"end of stream with a length", "vmdk_footer", func(b []byte) { put64(b, m.eos, 1) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := bytes.Clone(m.file)
			tc.change(file)
			wantCode(t, tc.code, file)
		})
	}
	t.Run("data after the end", func(t *testing.T) {
		wantCode(t, "vmdk_trailing", append(bytes.Clone(m.file), make([]byte, 512)...))
	})
	t.Run("sound table where no marker is", func(t *testing.T) {
		file := slices.Concat(m.file[:m.directory+512], m.file[m.tables[0]:][:2048], m.file[m.directory+512:])
		put64(file, m.directory-512, 5)
		put32(file, m.directory, uint32(m.directory/512+1))
		wantCode(t, "vmdk_stream_directory", file)
	})
	t.Run("tables without an end", func(t *testing.T) {
		table := m.file[m.tables[0]-512 : m.tables[0]+2048]
		more := bytes.Repeat(table, maxDirectories*len(m.tables)+1)
		wantCode(t, "vmdk_marker", slices.Concat(m.file[:m.directory-512], more, m.file[m.directory-512:]))
	})
	t.Run("three directories", func(t *testing.T) {
		c := makeStream(want[:1<<20], options{redundant: true})
		file := bytes.Clone(c.file[:c.directory-512])
		file = append(file, c.file[c.directory-512:c.directory+512]...)
		wantCode(t, "vmdk_marker", append(file, c.file[c.directory-512:]...))
	})
}

func sizeAt(m *made, g int64) uint32 {
	b := m.file[m.grains[g]+8:]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// TestRefuseInflated puts grains of the wrong size in a stream: what it inflates to is bounded by a grain.
func TestRefuseInflated(t *testing.T) {
	grain := bytes.Repeat([]byte("x"), 64<<10)
	for name, plain := range map[string][]byte{
		"bomb":     make([]byte, 8<<20),
		"one more": append(bytes.Clone(grain), 'x'),
		"one less": grain[1:],
		"nothing":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			m := makeStream(bytes.Repeat(grain, 2*probeGrains), options{})
			z := deflate(plain)
			at := m.grains[0]
			if at+12+int64(len(z)) > m.grains[1] { // zlib makes 8 KiB of the bomb
				tail := bytes.Clone(m.file[m.grains[1]:])
				m.file = append(m.file[:at+12], z...)
				m.pad()
				m.file = append(m.file, tail...)
			} else {
				copy(m.file[at+12:], z)
			}
			put32(m.file, at+8, uint32(len(z)))
			d := open(t, m.file, -1)
			_, err := d.ReadAt(make([]byte, 100), 10)
			if r := refusal.As(err); r == nil || r.Code != "vmdk_grain_data" {
				t.Errorf("%v, want vmdk_grain_data", err)
			}
		})
	}
}

// TestRefuseFrontDirectory changes what qemu-img wrote: a stream whose directory stands in front, where the markers are
// first met when a grain is read.
func TestRefuseFrontDirectory(t *testing.T) {
	raw := disktest.RandomRaw(t, 4<<20, 21)
	file, err := os.ReadFile(disktest.Convert(t, raw, "vmdk", "raw", "-o", "subformat=streamOptimized"))
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, file, -1)
	first := d.nextMapped(0, d.grains)
	second := d.nextMapped(first+1, d.grains)
	at := d.place(first) * 512
	for _, tc := range []struct {
		name, code string
		change     func(b []byte)
	}{
		{"other address", "vmdk_grain_data", func(b []byte) { put64(b, at, uint64(second*128)) }},
		{"size 0", "vmdk_grain_data", func(b []byte) { put32(b, at+8, 0) }},
		{"size beyond the next grain", "vmdk_grain_data", func(b []byte) { put32(b, at+8, uint32(d.sectors(first)*512)) }},
		{"size 2^32-1", "vmdk_grain_data", func(b []byte) { put32(b, at+8, 0xffffffff) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := bytes.Clone(file)
			tc.change(file)
			wantCode(t, tc.code, file)
		})
	}
}

func TestForeign(t *testing.T) {
	const text = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"
	padding := strings.Repeat("# padding\r\n", 5000)
	for _, tc := range []struct{ name, code, head string }{
		{"descriptor", "vmdk_text_descriptor", text},
		{"CRLF", "vmdk_text_descriptor", strings.ReplaceAll(text, "\n", "\r\n")},
		{"CR", "vmdk_text_descriptor", strings.ReplaceAll(text, "\n", "\r")},
		{"byte order mark", "vmdk_text_descriptor", "\ufeff" + text},
		{"upper case", "vmdk_text_descriptor", strings.ToUpper(text)},
		{"blank lines", "vmdk_text_descriptor", "\n \r\n\t\n" + text},
		{"comment before", "vmdk_text_descriptor", padding + text},
		{"no title", "vmdk_text_descriptor", text[22:]},
		{"no title, comment before", "vmdk_text_descriptor", padding + "\nVersion = 1\n"},
		{"no blank in title", "vmdk_text_descriptor", "#Disk DescriptorFile"},
		{"COWD", "vmdk_cowd", "COWD\x01\x00\x00\x00"},
		{"seSparse", "vmdk_sesparse", "\xbe\xba\xfe\xca\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"},
		{"a Java class", "", "\xca\xfe\xba\xbe\x00\x00\x00\x41"},
		{"a sparse extent", "", string(makeSparse(make([]byte, 512), options{}).file)},
		{"a script", "", "#!/bin/sh\nversion=1\nexit 0\n"[:10]},
		{"text", "", "hello, world\n"},
		{"a setting", "", "name=1\n"},
		{"boot code", "", "\xeb\x63\x90\x00\n# Disk DescriptorFile"},
		{"comments alone", "", padding},
		{"nothing", "", ""},
	} {
		code := ""
		if r := Foreign([]byte(tc.head)); r != nil {
			code = r.Code
		}
		if code != tc.code {
			t.Errorf("%s: %q, want %q", tc.name, code, tc.code)
		}
	}
}

// TestForeignFromQemu has qemu-img write the kinds of VMDK in several files.
func TestForeignFromQemu(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	for _, kind := range []string{"monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "d.vmdk")
		disktest.Run(t, "qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat="+kind, path, "4M")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if r := Foreign(text); r == nil || r.Code != "vmdk_text_descriptor" {
			t.Errorf("%s: %v", kind, r)
		}
		if kind != "twoGbMaxExtentSparse" {
			continue
		}
		part, err := os.ReadFile(filepath.Join(dir, "d-s001.vmdk"))
		if err != nil {
			t.Fatal(err)
		}
		if err := drain(part, -1, nil); refusal.As(err) == nil {
			t.Errorf("an extent of a split disk: %v", err)
		} else {
			t.Log(fmt.Sprint(err))
		}
	}
}

// bomb is the largest map that is read, of a stream whose directory stands in front: every grain is somewhere. None of it
// is in memory.
type bomb struct{ head []byte }

const (
	bombDirectory = 21 // sectors
	bombTables    = bombDirectory + maxGrains/tableEntries*4/sectorSize
	bombGrains    = bombTables + maxGrains*4/sectorSize
)

func newBomb() bomb {
	o := options{capacity: maxGrains * minGrain, grain: minGrain}
	return bomb{append(o.header(flagNewline|flagCompressed|flagMarkers, nil, bombDirectory), o.text(streamDescriptor)...)}
}

func (b bomb) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < bombDirectory*sectorSize {
		if off < int64(len(b.head)) {
			copy(p, b.head[off:])
		}
		return len(p), nil
	}
	for i := int64(0); i < int64(len(p)); i += 4 {
		if entry := (off + i - bombTables*sectorSize) / 4; off < bombTables*sectorSize {
			put32(p, i, uint32(bombTables+(off+i-bombDirectory*sectorSize)/4*tableSectors))
		} else {
			put32(p, i, uint32(bombGrains+entry))
		}
	}
	return len(p), nil
}

// A map takes the memory that maxGrains says, and no more while it is read.
func TestMapBomb(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Open(newBomb(), -1, nil)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if last := d.place(maxGrains - 1); last != bombGrains+maxGrains-1 {
		t.Errorf("the last grain is at sector %d", last)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 86<<20 {
		t.Errorf("%d MiB were allocated", n>>20)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := after.HeapAlloc - before.HeapAlloc; n > 54<<20 {
		t.Errorf("%d MiB are in use", n>>20)
	}
	runtime.KeepAlive(d)
}

// A size that is not wanted is refused before the map is read.
func TestAccept(t *testing.T) {
	b := newBomb()
	refused := errors.New("too large")
	_, err := Open(io.NewSectionReader(b, 0, bombDirectory*sectorSize), -1, func(guest int64) error {
		if guest != maxGrains*minGrain*sectorSize {
			t.Errorf("asked about %d bytes", guest)
		}
		return refused
	})
	if err != refused {
		t.Errorf("Open: %v", err)
	}
}
