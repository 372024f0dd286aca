package vmdk

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"strings"
)

// made is a VMDK made in code, with the places of its parts in bytes.
type made struct {
	file      []byte
	grains    map[int64]int64 // grain: its marker, or its data where plain
	tables    []int64
	directory int64
	footer    int64
	eos       int64
}

// options of a VMDK made in code; the zero value is what VMware writes.
type options struct {
	order      []int64 // grains in the order they are written; nil: ascending
	cutLast    bool    // compress the last grain's guest bytes only
	progress   bool    // write markers of type 4
	redundant  bool    // write a second directory
	grain      int64   // sectors; 0: 128
	capacity   int64   // sectors; 0: what the guest's bytes take
	descriptor string
	small      bool // no room between header, descriptor and grains: seeds for fuzzing
}

const (
	streamDescriptor = "# Disk DescriptorFile\nversion=1\nCID=7e5b80a7\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n" +
		"# Extent description\nRDONLY %d SPARSE \"call-me-stream.vmdk\"\n\n#DDB\n\nddb.adapterType = \"lsilogic\"\n" +
		"ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n"
	sparseDescriptor = "# Disk DescriptorFile\r\nversion=1\r\nCID=fffffffe\r\nparentCID=ffffffff\r\ncreateType=\"monolithicSparse\"\r\n" +
		"# Extent description\r\nRW %d SPARSE \"\"\r\n"
)

func put32(b []byte, at int64, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }
func put64(b []byte, at int64, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }

func (m *made) pad() {
	m.file = append(m.file, make([]byte, -len(m.file)&511)...)
}

// add appends b padded to sectors and returns its place.
func (m *made) add(b []byte) int64 {
	at := int64(len(m.file))
	m.file = append(m.file, b...)
	m.pad()
	return at
}

func (m *made) mark(val uint64, kind uint32) int64 {
	var b [512]byte
	put64(b[:], 0, val)
	put32(b[:], 12, kind)
	return m.add(b[:])
}

func (o *options) header(flags uint32, guest []byte, directory uint64) []byte {
	if o.grain == 0 {
		o.grain = 128
	}
	if o.capacity == 0 {
		o.capacity = int64(len(guest)+511) / 512
	}
	h := make([]byte, 512)
	copy(h, "KDMV")
	put32(h, 4, 3)
	put32(h, 8, flags)
	put64(h, 12, uint64(o.capacity))
	put64(h, 20, uint64(o.grain))
	put64(h, 28, 1)
	put64(h, 36, uint64(o.overhead()-1))
	put32(h, 44, 512)
	put64(h, 56, directory)
	put64(h, 64, uint64(o.overhead()))
	copy(h[73:], "\n \r\n")
	if flags&flagCompressed != 0 {
		h[77] = 1
	}
	return h
}

// overhead is where the descriptor ends, in sectors.
func (o *options) overhead() int64 {
	if o.small {
		return 2
	}
	return 21
}

func (o *options) text(template string) []byte {
	text := o.descriptor
	if text == "" {
		text = template
	}
	if strings.Contains(text, "%d") {
		text = fmt.Sprintf(text, o.capacity)
	}
	return []byte(text)
}

// guestGrains cuts guest into grains and leaves out those of zeros.
func guestGrains(guest []byte, size int64) map[int64][]byte {
	grains := make(map[int64][]byte)
	for off := int64(0); off < int64(len(guest)); off += size {
		b := guest[off:min(off+size, int64(len(guest)))]
		if bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			grains[off/size] = b
		}
	}
	return grains
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, _ := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// makeStream writes a stream with its directory at the end: header, descriptor, grains with each full table after the
// last grain of it, directory, footer, end of stream.
func makeStream(guest []byte, o options) *made {
	m := &made{grains: make(map[int64]int64)}
	head := o.header(flagNewline|flagCompressed|flagMarkers, guest, 1<<64-1)
	m.add(head)
	m.add(o.text(streamDescriptor))
	m.file = append(m.file, make([]byte, int(o.overhead())*512-len(m.file))...)
	size := o.grain * 512
	grains := guestGrains(guest, size)
	total := (o.capacity + o.grain - 1) / o.grain
	order := o.order
	for g := int64(0); o.order == nil && g < total; g++ {
		order = append(order, g)
	}
	for _, g := range order {
		if b, ok := grains[g]; ok {
			m.grains[g] = int64(len(m.file))
			m.addGrain(g, b, o)
		}
		if o.progress && g%7 == 0 {
			m.mark(2, markerProgress)
			m.add(make([]byte, 1024))
		}
		if o.order == nil && (g%512 == 511 || g == total-1) {
			m.addTable(g / 512)
		}
	}
	for t := int64(0); o.order != nil && t*512 < total; t++ {
		m.addTable(t)
	}
	m.finish(head, o)
	return m
}

func (m *made) addGrain(g int64, b []byte, o options) {
	size := int(o.grain * 512)
	if !o.cutLast && len(b) < size {
		b = append(bytes.Clone(b), make([]byte, size-len(b))...)
	}
	z := deflate(b)
	marker := binary.LittleEndian.AppendUint64(nil, uint64(g*o.grain))
	marker = binary.LittleEndian.AppendUint32(marker, uint32(len(z)))
	m.add(append(marker, z...))
}

// addTable writes a grain table unless all of it is holes.
func (m *made) addTable(t int64) {
	b := make([]byte, 2048)
	empty := true
	for g, at := range m.grains {
		if g/512 == t {
			put32(b, g%512*4, uint32(at/512))
			empty = false
		}
	}
	if empty {
		m.tables = append(m.tables, 0)
		return
	}
	m.mark(4, markerTable)
	m.tables = append(m.tables, m.add(b))
}

func (m *made) finish(head []byte, o options) {
	b := make([]byte, (len(m.tables)*4+511)/512*512)
	for i, at := range m.tables {
		put32(b, int64(i)*4, uint32(at/512))
	}
	if o.redundant {
		m.mark(uint64(len(b)/512), markerDirectory)
		m.add(b)
	}
	m.mark(uint64(len(b)/512), markerDirectory)
	m.directory = m.add(b)
	m.mark(1, markerFooter)
	foot := bytes.Clone(head)
	put64(foot, 56, uint64(m.directory/512))
	m.footer = m.add(foot)
	m.eos = m.mark(0, markerEOS)
}

// makeSparse writes a monolithicSparse file: header, descriptor, directory, tables, grains.
func makeSparse(guest []byte, o options) *made {
	m := &made{grains: make(map[int64]int64)}
	m.add(o.header(flagNewline, guest, uint64(o.overhead())))
	m.add(o.text(sparseDescriptor))
	m.file = append(m.file, make([]byte, int(o.overhead())*512-len(m.file))...)
	total := (o.capacity + o.grain - 1) / o.grain
	tables := (total + 511) / 512
	m.directory = m.add(make([]byte, tables*4))
	for t := range tables {
		m.tables = append(m.tables, m.add(make([]byte, 2048)))
		put32(m.file, m.directory+4*t, uint32(m.tables[t]/512))
	}
	grains := guestGrains(guest, o.grain*512)
	for g := range total {
		if b, ok := grains[g]; ok {
			m.grains[g] = m.add(append(bytes.Clone(b), make([]byte, int(o.grain)*512-len(b))...))
			m.setEntry(g, uint32(m.grains[g]/512))
		}
	}
	return m
}

func (m *made) setEntry(g int64, sector uint32) {
	put32(m.file, m.tables[g/512]+g%512*4, sector)
}
