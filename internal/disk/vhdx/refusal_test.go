package vhdx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"ingot/internal/refusal"
)

// TestRefusals damages a sound file in one way each. A row that leaves no code is a file that must still be read.
func TestRefusals(t *testing.T) {
	const both = -1
	headers := func(f *sparse, which int, edit func(at int64)) {
		for i, at := range []int64{headerOffset1, headerOffset2} {
			if which == both || which == i {
				edit(at)
			}
		}
		f.seal()
	}
	tables := func(f *sparse, edit func(at int64)) {
		edit(regionOffset1)
		edit(regionOffset2)
		f.seal()
	}
	header32 := func(off int64, v uint32) func(*sparse) {
		return func(f *sparse) { headers(f, both, func(at int64) { f.put32(at+off, v) }) }
	}
	header64 := func(off int64, v uint64) func(*sparse) {
		return func(f *sparse) { headers(f, both, func(at int64) { f.put64(at+off, v) }) }
	}
	regions32 := func(off int64, v uint32) func(*sparse) {
		return func(f *sparse) { tables(f, func(at int64) { f.put32(at+off, v) }) }
	}
	regions64 := func(off int64, v uint64) func(*sparse) {
		return func(f *sparse) { tables(f, func(at int64) { f.put64(at+off, v) }) }
	}
	third := func(id string, off uint64, length, required uint32) func(*sparse) {
		return func(f *sparse) {
			tables(f, func(at int64) {
				f.put32(at+8, 3)
				f.region(at, 2, id, off, length, required)
			})
		}
	}
	write := func(off int64, b ...byte) func(*sparse) { return func(f *sparse) { f.write(off, b) } }
	item32 := func(i, field int64, v uint32) func(*sparse) {
		return func(f *sparse) { f.put32(metadataAt+(i+1)*32+16+field, v) }
	}
	value32 := func(i int64, v uint32) func(*sparse) { return func(f *sparse) { f.put32(itemsAt+i*32, v) } }
	diskSize := func(v uint64) func(*sparse) { return func(f *sparse) { f.put64(itemsAt+32, v) } }
	block := func(i int64, v uint64) func(*sparse) { return func(f *sparse) { f.put64(batAt+8*i, v) } }
	const other = "00000000-1111-2222-3333-444444444444"

	for _, tc := range []struct {
		name, code string
		damage     func(*sparse)
	}{
		{"nothing", "", func(*sparse) {}},
		{"signature", "vhdx_signature", write(0, 'V')},

		{"no valid header", "vhdx_headers", func(f *sparse) { f.put32(headerOffset1+4, 0); f.put32(headerOffset2+4, 0) }},
		{"header signatures", "vhdx_headers", func(f *sparse) { headers(f, both, func(at int64) { f.write(at, []byte("Head")) }) }},
		{"first header damaged", "", func(f *sparse) { f.put32(headerOffset1+4, 0) }},
		{"second header damaged", "", func(f *sparse) { f.put32(headerOffset2+4, 0) }},
		{"old header bad", "", func(f *sparse) { headers(f, 0, func(at int64) { f.put16(at+66, 9) }) }},
		{"equal sequence, different", "vhdx_headers_ambiguous", func(f *sparse) {
			headers(f, 0, func(at int64) { f.put64(at+8, 8); f.write(at+20, []byte{1}) })
		}},
		{"equal sequence, same", "", func(f *sparse) { headers(f, 0, func(at int64) { f.put64(at+8, 8) }) }},
		{"version 0", "vhdx_version", header32(64, 0)},
		{"version 2", "vhdx_version", header32(64, 2<<16)},
		{"log version", "vhdx_log_version", header32(64, 1<<16|1)},
		{"log not aligned", "vhdx_log_place", header64(72, logAt+512)},
		{"log in the header section", "vhdx_log_place", header64(72, 0)},
		{"log at the end of time", "vhdx_log_place", header64(72, math.MaxUint64&^(mib-1))},
		{"log length not aligned", "vhdx_log_place", header32(68, mib+1)},
		{"no log", "", func(f *sparse) { headers(f, both, func(at int64) { f.put32(at+68, 0); f.put64(at+72, 0) }) }},
		{"log over metadata", "vhdx_region_overlap", header64(72, metadataAt)},

		{"no valid region table", "vhdx_region_table", func(f *sparse) { f.put32(regionOffset1+4, 0); f.put32(regionOffset2+4, 0) }},
		{"region table signatures", "vhdx_region_table", func(f *sparse) { tables(f, func(at int64) { f.write(at, []byte("Regi")) }) }},
		{"first region table damaged", "", write(regionOffset1+4, 0, 0, 0, 0)},
		{"second region table damaged", "", write(regionOffset2+4, 0, 0, 0, 0)},
		{"region tables differ", "vhdx_region_tables_differ", func(f *sparse) { f.put32(regionOffset2+16+28, 0); f.seal() }},
		{"2048 regions", "vhdx_region_count", regions32(8, 2048)},
		{"most regions there can be", "vhdx_region_count", regions32(8, math.MaxUint32)},
		{"2047 regions, all zero", "vhdx_region_bounds", regions32(8, 2047)},
		{"no regions", "vhdx_region_missing", regions32(8, 0)},
		{"no metadata region", "vhdx_region_missing", regions32(8, 1)},
		{"BAT twice", "vhdx_region_duplicate", third(batRegion, 4*mib, mib, 1)},
		{"metadata twice", "vhdx_region_duplicate", third(metadataRegion, 4*mib, mib, 1)},
		{"unknown required region", "vhdx_region_unknown", third(other, 4*mib, mib, 1)},
		{"unknown optional region", "", func(f *sparse) { third(other, 6*mib, mib, 0)(f); f.size = 7 * mib }},
		{"optional region over the log", "vhdx_region_overlap", third(other, logAt, mib, 0)},
		{"optional region over a block", "vhdx_block_overlap", third(other, 4*mib, mib, 0)},
		{"region not aligned", "vhdx_region_bounds", regions64(16+16, batAt+4096)},
		{"region in the header section", "vhdx_region_bounds", regions64(16+16, 0)},
		{"region of odd length", "vhdx_region_bounds", regions32(16+24, mib-1)},
		{"region of no length", "vhdx_region_bounds", regions32(16+24, 0)},
		{"region at the end of time", "vhdx_region_bounds", regions64(16+16, math.MaxUint64&^(mib-1))},
		{"region beyond the end", "vhdx_truncated", regions64(16+16, 1<<40)},
		{"region longer than the file", "vhdx_truncated", regions32(16+24, math.MaxUint32&^(mib-1))},
		{"regions overlap", "vhdx_region_overlap", regions64(16+16, metadataAt)},
		{"region over the next", "vhdx_region_overlap", regions32(48+24, 2*mib)},

		{"metadata signature", "vhdx_metadata_table", write(metadataAt, 'M')},
		{"2048 items", "vhdx_metadata_count", write(metadataAt+10, 0x00, 0x08)},
		{"65535 items", "vhdx_metadata_count", write(metadataAt+10, 0xff, 0xff)},
		{"no items", "vhdx_metadata_missing", write(metadataAt+10, 0, 0)},
		{"an item missing", "vhdx_metadata_missing", write(metadataAt+10, 4, 0)},
		{"item too short", "vhdx_metadata_missing", item32(1, 4, 7)},
		{"item twice", "vhdx_metadata_duplicate", func(f *sparse) { f.item(virtualDiskSize, 6, make([]byte, 8)) }},
		{"item of a user, same name", "", func(f *sparse) { f.item(virtualDiskSize, 1, make([]byte, 8)) }},
		{"item of a user, required", "vhdx_metadata_unknown", func(f *sparse) { f.item(virtualDiskSize, 5, make([]byte, 8)) }},
		{"unknown required item", "vhdx_metadata_unknown", func(f *sparse) { f.item(other, 4, []byte{1}) }},
		{"unknown optional item", "", func(f *sparse) { f.item(other, 0, []byte{1}) }},
		{"empty optional item", "", func(f *sparse) { f.item(other, 0, nil); f.entry(5, other, 0, 0, 0) }},
		{"1025 items of users", "vhdx_metadata_count", func(f *sparse) {
			for i := range 1025 {
				f.entry(int64(5+i), fmt.Sprintf("%08X%s", i, other[8:]), 0, 0, 1)
			}
			f.put16(metadataAt+10, 5+1025)
		}},
		{"item without length at a place", "vhdx_metadata_bounds", func(f *sparse) { f.item(other, 0, nil) }},
		{"item in the table", "vhdx_metadata_bounds", item32(0, 0, 64*kib-1)},
		{"item beyond the region", "vhdx_metadata_bounds", item32(0, 0, mib-7)},
		{"item far beyond the region", "vhdx_metadata_bounds", item32(0, 0, math.MaxUint32)},
		{"item too long", "vhdx_metadata_bounds", item32(0, 4, math.MaxUint32)},
		{"items overlap", "vhdx_metadata_overlap", item32(0, 4, 33)},

		{"differencing flag", "vhdx_differencing", value32(0, mib)},
		{"has a parent", "vhdx_differencing", write(itemsAt+4, 2)},
		{"parent locator", "vhdx_differencing", func(f *sparse) { f.item(parentLocator, 4, make([]byte, 20)) }},
		{"parent locator, optional", "vhdx_differencing", func(f *sparse) { f.item(parentLocator, 0, make([]byte, 20)) }},
		{"fixed", "", write(itemsAt+4, 1)},
		{"unknown flag", "vhdx_flags", write(itemsAt+4, 4)},
		{"block size 0", "vhdx_block_size", value32(0, 0)},
		{"block size 512 KiB", "vhdx_block_size", value32(0, 512*kib)},
		{"block size 3 MiB", "vhdx_block_size", value32(0, 3*mib)},
		{"block size 512 MiB", "vhdx_block_size", value32(0, 512*mib)},
		{"block size 2 GiB", "vhdx_block_size", value32(0, 1<<31)},
		{"logical sector 0", "vhdx_sector_size", value32(3, 0)},
		{"logical sector 1024", "vhdx_sector_size", value32(3, 1024)},
		{"physical sector", "vhdx_sector_size", value32(4, 8192)},
		{"disk of no size", "vhdx_disk_size", diskSize(0)},
		{"disk of half a sector", "vhdx_disk_size", diskSize(mib + 256)},
		{"disk over 64 TiB", "vhdx_disk_size", diskSize(64<<40 + 512)},
		{"disk of the greatest size", "vhdx_disk_size", diskSize(math.MaxUint64)},
		{"disk of 64 TiB", "vhdx_bat_short", diskSize(64 << 40)},
		{"BAT that just suffices", "", diskSize(131041 * mib)},
		{"BAT short by an entry", "vhdx_bat_short", diskSize(131042 * mib)},

		{"reserved state 4", "vhdx_block_state", block(1, dataAt+4)},
		{"reserved state 5", "vhdx_block_state", block(1, dataAt+5)},
		{"partially present", "vhdx_block_partial", block(1, dataAt+7)},
		{"lowest reserved bit", "vhdx_block_reserved", block(1, 1<<3)},
		{"highest reserved bit", "vhdx_block_reserved", block(1, 1<<19)},
		{"block in the header section", "vhdx_block_overlap", block(1, 0|fullyPresent)},
		{"block over the log", "vhdx_block_overlap", block(1, logAt|fullyPresent)},
		{"block over metadata", "vhdx_block_overlap", block(1, metadataAt|fullyPresent)},
		{"block over the BAT", "vhdx_block_overlap", block(1, batAt|fullyPresent)},
		{"block twice", "vhdx_block_duplicate", block(1, dataAt|fullyPresent)},
		{"block beyond the end", "vhdx_block_beyond_end", block(1, 6*mib|fullyPresent)},
		{"block at the end of time", "vhdx_block_beyond_end", block(1, math.MaxUint64&^(mib-1)|fullyPresent)},
		{"block where signed numbers end", "vhdx_block_beyond_end", block(1, math.MaxInt64&^(mib-1)|fullyPresent)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := build(disk{present: []int{0, 7}})
			if tc.name == "differencing flag" {
				f.write(itemsAt+4, []byte{3})
			}
			tc.damage(f)
			check(t, "known size", readAll(f, f.size), tc.code)
			// Only reads find the end of a file that is still arriving.
			late := tc.code
			switch tc.name {
			case "region longer than the file":
				late = "vhdx_block_overlap"
			case "block beyond the end", "region beyond the end":
				late = "vhdx_truncated"
			}
			check(t, "unknown size", readAll(f, -1), late)
		})
	}
}

// check wants a refusal of a code, and in its message something to do.
func check(t *testing.T, name string, err error, code string) {
	t.Helper()
	r := refusal.As(err)
	if code == "" || r == nil {
		if codeOf(err) != code {
			t.Errorf("%s: got %v, want code %q", name, err, code)
		}
		return
	}
	if r.Code != code || r.Temporary {
		t.Errorf("%s: got %v, want code %q", name, err, code)
	}
	if !strings.Contains(r.Message, ":") && !strings.Contains(r.Message, "again") || strings.Contains(r.Message, "%!") {
		t.Errorf("%s: the message does not say what to do: %s", name, r.Message)
	}
}

// TestOverlappingBlocks: blocks of 2 MiB that share one of them.
func TestOverlappingBlocks(t *testing.T) {
	d := disk{block: 2 * mib, present: []int{0, 1}}
	f := build(d)
	f.place(d, 2, dataAt+mib, fullyPresent)
	check(t, "half over half", readAll(f, f.size), "vhdx_block_duplicate")

	f = build(d)
	f.place(d, 2, batAt-mib, fullyPresent)
	check(t, "end in the BAT", readAll(f, f.size), "vhdx_block_overlap")

	d = disk{size: 7*mib + 512, present: []int{0}}
	f = build(d)
	f.place(d, 7, dataAt, fullyPresent)
	check(t, "a last block of a sector", readAll(f, f.size), "vhdx_block_duplicate")
}

// TestRefusedForGood: once a page of the table is refused, so is what else of it comes to be read, for the same reason.
func TestRefusedForGood(t *testing.T) {
	want := disk{present: []int{0}}
	f := build(want)
	f.place(want, 5, 0, partiallyPresent)
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := d.ReadAt(make([]byte, 512), 0)
		check(t, "ReadAt", err, "vhdx_block_partial")
	}
}

// TestOtherPage: a block that shares its place with one of another page is found by whoever reads second.
func TestOtherPage(t *testing.T) {
	want := disk{size: 20 * gib, present: []int{0, 10000}}
	f := build(want)
	f.place(want, 10001, dataAt, fullyPresent)
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	if _, err := d.ReadAt(b, 10000*mib); err != nil {
		t.Fatal(err)
	}
	_, err = d.ReadAt(b, 0)
	check(t, "the other page", err, "vhdx_block_duplicate")
}

// TestNextPage: what is wrong in a page of the table is found by who comes to it from the page before.
func TestNextPage(t *testing.T) {
	want := disk{size: 20 * gib, present: []int{8190}} // the last entry of the first page
	f := build(want)
	f.place(want, 8191, 0, partiallyPresent)
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = d.NextData(0)
	check(t, "NextData", err, "vhdx_block_partial")
	n, err := d.ReadAt(make([]byte, 2*mib), 8190*mib)
	check(t, "ReadAt", err, "vhdx_block_partial")
	if _, err := d.ReadAt(make([]byte, mib), 8190*mib); n != 0 || err != nil {
		t.Errorf("the block before it: %d, %v", n, err)
	}
}

// failing fails at or after a place, and remembers how far it was read.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// TestReaderError: what the file's reader says is not the image's fault.
func TestReaderError(t *testing.T) {
	f := build(disk{present: []int{0, 7}}).logged(logEntry{sequence: 1})
	broken := errors.New("connection reset")
	for _, from := range []int64{0, 8, headerOffset1, headerOffset2, logAt, regionOffset1, regionOffset2, metadataAt, itemsAt, batAt, dataAt, dataAt + mib} {
		for _, size := range []int64{f.size, -1} {
			err := readAll(failing{f, from, broken}, size)
			if !errors.Is(err, broken) || refusal.As(err) != nil {
				t.Errorf("reads fail from %d on: got %v", from, err)
			}
		}
	}
}

// TestHugeTable: a table of half a GiB that a few bytes announce must not be made in memory.
func TestHugeTable(t *testing.T) {
	f := build(disk{size: 64 << 40, bat: 513 * mib})
	for _, size := range []int64{f.size, -1} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := Open(f, size)
		runtime.ReadMemStats(&after)
		if err != nil || d.Size() != 64<<40 {
			t.Fatal(err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 2*mib {
			t.Errorf("Open allocated %d bytes", n)
		}
	}
}
