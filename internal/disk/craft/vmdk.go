package craft

import (
	"bytes"
	"fmt"
	"strings"
)

// VMDK is a VMDK file and the places of its parts.
type VMDK struct {
	File
	Grains    map[int64]int64 // grain: its marker, or its data where plain
	Tables    []int64
	Directory int64
	Footer    int64
	EOS       int64
}

// Descriptors of crafted VMDK files; %d is the capacity in sectors.
const (
	StreamDescriptor = "# Disk DescriptorFile\nversion=1\nCID=7e5b80a7\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n" +
		"# Extent description\nRDONLY %d SPARSE \"call-me-stream.vmdk\"\n\n#DDB\n\nddb.adapterType = \"lsilogic\"\n"
	SparseDescriptor = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n" +
		"# Extent description\nRW %d SPARSE \"a.vmdk\"\n"
)

const (
	grainSize    = 64 * kib
	vmdkOverhead = 21 // sectors: header and descriptor
)

func (m *VMDK) header(flags uint32, capacity int, directory uint64, descriptor string) {
	m.Text(0, "KDMV")
	m.Put32(4, 3)
	m.Put32(8, flags)
	m.Put64(12, uint64(capacity))
	m.Put64(20, grainSize/512)
	m.Put64(28, 1)
	m.Put64(36, vmdkOverhead-1)
	m.Put32(44, 512)
	m.Put64(56, directory)
	m.Put64(64, vmdkOverhead)
	m.Text(73, "\n \r\n")
	if strings.Contains(descriptor, "%d") {
		descriptor = fmt.Sprintf(descriptor, capacity)
	}
	m.Text(512, descriptor)
	m.Grow(vmdkOverhead * 512)
}

// eachGrain calls fn for every grain that has data.
func eachGrain(guest []byte, fn func(grain int64, data []byte)) {
	for g := int64(0); g*grainSize < int64(len(guest)); g++ {
		b := make([]byte, grainSize)
		copy(b, guest[g*grainSize:])
		if bytes.Count(b, []byte{0}) < len(b) {
			fn(g, b)
		}
	}
}

func tablesOf(guest []byte) int64 { return (int64(len(guest)) + 512*grainSize - 1) / (512 * grainSize) }

// SparseVMDK makes a monolithicSparse file: header, descriptor, directory, tables, grains.
func SparseVMDK(guest []byte, descriptor string) *VMDK {
	m := &VMDK{Grains: map[int64]int64{}}
	m.header(1, len(guest)/512, vmdkOverhead, descriptor)
	m.Directory = m.add(make([]byte, tablesOf(guest)*4), 512)
	for t := range tablesOf(guest) {
		m.Tables = append(m.Tables, m.add(make([]byte, 2048), 512))
		m.Put32(m.Directory+4*t, uint32(m.Tables[t]/512))
	}
	eachGrain(guest, func(g int64, b []byte) {
		m.Grains[g] = m.add(b, 512)
		m.SetEntry(g, uint32(m.Grains[g]/512))
	})
	return m
}

// SetEntry sets the grain table's entry of a grain.
func (m *VMDK) SetEntry(g int64, sector uint32) { m.Put32(m.Tables[g/512]+g%512*4, sector) }

func (m *VMDK) mark(value uint64, kind uint32) int64 {
	at := m.add(make([]byte, 512), 512)
	m.Put64(at, value)
	m.Put32(at+12, kind)
	return at
}

// StreamVMDK makes a streamOptimized file: header, descriptor, grains, tables, directory, footer, end of stream.
func StreamVMDK(guest []byte, descriptor string) *VMDK {
	m := &VMDK{Grains: map[int64]int64{}}
	m.header(1|1<<16|1<<17, len(guest)/512, 1<<64-1, descriptor)
	m.Put16(77, 1)
	head := bytes.Clone(m.Bytes[:512])
	eachGrain(guest, func(g int64, b []byte) {
		z := zlibbed(b)
		m.Grains[g] = m.add(append(make([]byte, 12), z...), 512)
		m.Put64(m.Grains[g], uint64(g*grainSize/512))
		m.Put32(m.Grains[g]+8, uint32(len(z)))
	})
	for range tablesOf(guest) {
		m.mark(4, 1)
		m.Tables = append(m.Tables, m.add(make([]byte, 2048), 512))
	}
	for g, at := range m.Grains {
		m.SetEntry(g, uint32(at/512))
	}
	m.mark(1, 2)
	m.Directory = m.add(make([]byte, len(m.Tables)*4), 512)
	for t, at := range m.Tables {
		m.Put32(m.Directory+int64(t)*4, uint32(at/512))
	}
	m.mark(1, 3)
	m.Footer = m.add(head, 512)
	m.Put64(m.Footer+56, uint64(m.Directory/512))
	m.EOS = m.mark(0, 0)
	return m
}
