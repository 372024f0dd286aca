package vhdx

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"ingot/internal/disk/disktest"
	"ingot/internal/spool"
)

// TestDirtyOracle leaves qemu's own log behind, by letting the write fail that it protects, and compares what is read
// with what qemu reads once it has replayed it.
func TestDirtyOracle(t *testing.T) {
	for _, tc := range []struct {
		options string
		size    int64
		writes  int
		last    int64
	}{
		{"block_size=1M", 20 * mib, 0, 0},
		{"block_size=1M", 20 * mib, 20, 19 * mib},
		{"block_size=2M,log_size=4M", 40*mib + 512, 20, 40 * mib},
		{"block_size=8M,block_state_zero=off", 40 * mib, 3, 33 * mib},
	} {
		t.Run(fmt.Sprintf("%s %d", tc.options, tc.writes), func(t *testing.T) {
			path := disktest.Image(t, "vhdx", tc.options, tc.size, tc.writes, 11)
			image := fmt.Sprintf(`json:{"driver":"vhdx","file":{"driver":"blkdebug","image":{"driver":"file","filename":%q},`+
				`"inject-error":[{"event":"none","iotype":"write","sector":%d}]}}`, path, batPlace(t, path)/512)
			dirtied := false
			for at := tc.last; at >= 0 && !dirtied; at -= 1 * mib {
				exec.Command("qemu-io", "-c", fmt.Sprintf("write -P 171 %d 512", at), image).Run()
				dirtied = isDirty(t, path)
			}
			if !dirtied {
				t.Fatal("qemu left no log to replay")
			}
			want := disktest.Raw(t, repaired(t, copyFile(t, path)), "vhdx")
			open(t, path, func(t *testing.T, d *Disk) { disktest.Conform(t, d, want) })
		})
	}
}

// batPlace is where the block allocation table of a file stands.
func batPlace(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := Open(f, fileSize(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return d.blocks.Map.(*table).start
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func isDirty(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := readHeader(source{r: f, size: fileSize(t, path)})
	if err != nil {
		t.Fatal(err)
	}
	return h.replays()
}

// repaired lets qemu replay the log of a file and returns its path.
func repaired(t *testing.T, path string) string {
	t.Helper()
	if out, err := exec.Command("qemu-img", "check", "-r", "all", "-f", "vhdx", path).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img check: %v\n%s", err, out)
	}
	if isDirty(t, path) {
		t.Fatal("qemu did not replay the log")
	}
	return path
}

// sectorWith is a sector of the BAT that puts each of some blocks at a place.
func batSector(places map[int]int64) []byte {
	b := make([]byte, 4096)
	for block, host := range places {
		le.PutUint64(b[8*block:], uint64(host)|fullyPresent)
	}
	return b
}

// TestReplay replays logs made here. present says which block of the file each guest block is to be; the file's
// blocks 0, 1 and 2 stand at 4, 5 and 6 MiB, at guest blocks 0, 1 and 2 unless the log says something else.
func TestReplay(t *testing.T) {
	const a, b, c = dataAt, dataAt + mib, dataAt + 2*mib
	move := func(places map[int]int64) []update { return []update{{off: batAt, data: batSector(places)}} }
	old := move(map[int]int64{7: a})
	moved := move(map[int]int64{3: a, 4: b, 5: c})
	filler := make([]update, 0)
	for range 130 {
		filler = append(filler, update{off: batAt + 64*kib, length: 4096})
	}
	for _, tc := range []struct {
		name    string
		entries []logEntry
		present map[int]int // guest block: file's block
		oracle  bool        // qemu agrees; it ignores tails, extends no file by whole MiB and cannot do a second sector of descriptors
		edit    func(f *sparse)
	}{
		{"no updates", []logEntry{{sequence: 1}}, map[int]int{0: 0, 1: 1, 2: 2}, true, nil},
		{"one entry", []logEntry{{sequence: 1, updates: moved}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"not at the log's start", []logEntry{{at: 77, tail: 77, sequence: 9, updates: moved}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"wraps around", []logEntry{{at: 255, tail: 255, sequence: 1, updates: moved}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"wraps in descriptors", []logEntry{{at: 254, tail: 254, sequence: 1 << 40, updates: append(moved, filler...)}}, map[int]int{3: 0, 4: 1, 5: 2}, false, nil},
		{"entries in order", []logEntry{{at: 5, tail: 5, sequence: 3, updates: old}, {at: 7, tail: 5, sequence: 4, updates: moved}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"newest first in the log", []logEntry{{at: 0, tail: 254, sequence: 4, updates: moved}, {at: 254, tail: 254, sequence: 3, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"two sequences, the newer first", []logEntry{{at: 0, tail: 0, sequence: 40, updates: moved}, {at: 20, tail: 20, sequence: 30, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"two sequences, the newer last", []logEntry{{at: 20, tail: 20, sequence: 40, updates: moved}, {at: 0, tail: 0, sequence: 30, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"a sequence without its tail", []logEntry{{at: 0, tail: 0, sequence: 4, updates: moved}, {at: 20, tail: 18, sequence: 50, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, false, nil},
		{"entries before the tail", []logEntry{{at: 0, tail: 0, sequence: 4, updates: []update{{off: batAt, length: 4096}}}, {at: 1, tail: 1, sequence: 5}}, map[int]int{0: 0, 1: 1, 2: 2}, false, nil},
		{"torn last entry", []logEntry{{at: 0, tail: 0, sequence: 4, updates: moved}, {at: 2, tail: 0, sequence: 5, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, true,
			func(f *sparse) { f.write(logAt+3*4096, make([]byte, 4096)) }},
		{"last entry with a bad checksum", []logEntry{{at: 0, tail: 0, sequence: 4, updates: moved}, {at: 2, tail: 0, sequence: 5, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, true,
			func(f *sparse) { f.write(logAt+3*4096+100, []byte{1}) }},
		{"last entry of another log", []logEntry{{at: 0, tail: 0, sequence: 4, updates: moved}, {at: 2, tail: 0, sequence: 5, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, true,
			func(f *sparse) { f.write(logAt+2*4096, logEntry{sequence: 5, updates: old}.encode([16]byte{9})) }},
		{"a gap in the sequence", []logEntry{{at: 0, tail: 0, sequence: 4, updates: old}, {at: 2, tail: 2, sequence: 6, updates: moved}}, map[int]int{3: 0, 4: 1, 5: 2}, false, nil},
		{"a tail in what came before a gap", []logEntry{{at: 0, tail: 0, sequence: 4, updates: moved}, {at: 2, tail: 0, sequence: 6, updates: old}}, map[int]int{3: 0, 4: 1, 5: 2}, false, nil},
		{"zeros over all", []logEntry{{sequence: 1, updates: []update{{off: batAt, length: mib}}}}, map[int]int{}, true, nil},
		{"zeros, then data", []logEntry{{sequence: 1, updates: append([]update{{off: batAt, length: 64 * kib}}, moved...)}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"data, then zeros", []logEntry{{sequence: 1, updates: append(moved, update{off: batAt, length: 4096})}}, map[int]int{}, true, nil},
		{"zeros of no length", []logEntry{{sequence: 1, updates: append(moved, update{off: batAt})}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"padding", []logEntry{{sequence: 1, updates: moved, padding: 14}}, map[int]int{3: 0, 4: 1, 5: 2}, true, nil},
		{"region tables", []logEntry{{sequence: 1, updates: regionUpdates()}}, map[int]int{0: 0, 1: 1, 2: 2}, true,
			func(f *sparse) {
				f.write(regionOffset1, make([]byte, 4096))
				f.write(regionOffset2, make([]byte, 4096))
			}},
		{"a longer file", []logEntry{{sequence: 1, flushed: 7 * mib, last: 9 * mib, updates: move(map[int]int64{0: a, 1: b, 2: c, 6: 8 * mib})}}, map[int]int{0: 0, 1: 1, 2: 2, 6: -1}, false, nil},
		{"data at the end of a longer file", []logEntry{{sequence: 1, updates: []update{
			{off: 7*mib + 512*kib, data: append([]byte("far away"), make([]byte, 4088)...)}, {off: 8*mib - 4096, length: 4096}, {off: batAt, data: batSector(map[int]int64{6: 7 * mib})}}}},
			map[int]int{6: -2}, true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := build(disk{present: []int{0, 1, 2}}).logged(tc.entries...)
			if tc.edit != nil {
				tc.edit(f)
			}
			want := guest(tc.present)
			for _, size := range []int64{f.size, -1} {
				d, err := Open(f, size)
				if err != nil {
					t.Fatal(err)
				}
				disktest.Conform(t, d, want)
			}
			if tc.oracle {
				disktest.NeedTool(t, "qemu-img")
				if !bytes.Equal(disktest.Raw(t, repaired(t, f.save(t)), "vhdx"), want) {
					t.Error("qemu reads something else")
				}
			}
		})
	}
}

// TestReplayOnce reads files that their log makes longer as an import does: through a spool that gives back what was
// read, the file's last byte before the blocks beyond its end.
func TestReplayOnce(t *testing.T) {
	const a, b, c = dataAt, dataAt + mib, dataAt + 2*mib
	f := build(disk{present: []int{0, 1, 2}})
	f.logged(logEntry{sequence: 1, flushed: uint64(f.size), last: uint64(f.size + 3*mib), updates: []update{
		{off: batAt, data: batSector(map[int]int64{0: a, 1: b, 2: c, 4: 7 * mib, 5: 8 * mib, 6: 9 * mib})}}})
	want := guest(map[int]int{0: 0, 1: 1, 2: 2})
	for _, size := range []int64{f.size, -1} {
		for _, readers := range []int{1, 4} {
			t.Run(fmt.Sprint(size, readers), func(t *testing.T) {
				s, err := spool.New(t.TempDir(), io.NewSectionReader(f, 0, f.size), spool.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				d, err := Open(s, size)
				if err != nil {
					t.Fatal(err)
				}
				d.ReadOnce()
				var wg sync.WaitGroup
				for i := range readers {
					wg.Go(func() {
						for at := i * mib; at < len(want); at += readers * mib {
							got := make([]byte, mib)
							if _, err := d.ReadAt(got, int64(at)); err != nil || !bytes.Equal(got, want[at:at+mib]) {
								t.Errorf("block %d: %v, same bytes %t", at/mib, err, bytes.Equal(got, want[at:at+mib]))
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// guest is the disk of 8 MiB that has some of build's blocks at other places. -1 is a block of zeros, -2 one of which
// the log wrote a sector.
func guest(present map[int]int) []byte {
	b := make([]byte, 8*mib)
	for at, block := range present {
		for in := int64(0); in < mib && block >= 0; in += 256 * kib {
			copy(b[int64(at)*mib+in:], pattern(block, in))
		}
		if block == -2 {
			copy(b[at*mib+512*kib:], "far away")
		}
	}
	return b
}

// regionUpdates writes both region tables anew.
func regionUpdates() []update {
	f := build(disk{})
	return []update{{off: regionOffset1, data: f.bytes(regionOffset1, 4096)}, {off: regionOffset2, data: f.bytes(regionOffset2, 4096)}}
}

func TestReplayRefusals(t *testing.T) {
	data := make([]byte, 4096)
	for _, tc := range []struct {
		name, code string
		late       string // where the size is not known; "": the same
		entries    []logEntry
		edit       func(f *sparse)
	}{
		{"empty", "vhdx_log_empty", "", nil, nil},
		{"only a torn entry", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, data: data}}}}, func(f *sparse) { f.write(logAt+4096, []byte("DATA")) }},
		{"high half of a data sector's number", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, data: data}}}}, func(f *sparse) { f.put32(logAt+4096+4, 1); f.sealEntry(0, 2) }},
		{"low half of a data sector's number", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, data: data}}}}, func(f *sparse) { f.put32(logAt+2*4096-4, 2); f.sealEntry(0, 2) }},
		{"a descriptor's number", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, data: data}}}}, func(f *sparse) { f.put64(logAt+64+24, 2); f.sealEntry(0, 2) }},
		{"a descriptor's signature", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, length: 4096}}}}, func(f *sparse) { f.write(logAt+64, []byte("Zero")); f.sealEntry(0, 1) }},
		{"a descriptor's offset", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt + 512, data: data}}}}, nil},
		{"a descriptor's length", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, length: 512}}}}, nil},
		{"too many descriptors", "vhdx_log_empty", "", []logEntry{{sequence: 1}}, func(f *sparse) { f.put32(logAt+24, math.MaxUint32); f.sealEntry(0, 1) }},
		{"entry of no length", "vhdx_log_empty", "", []logEntry{{sequence: 1}}, func(f *sparse) { f.put32(logAt+8, 0); f.sealEntry(0, 1) }},
		{"entry longer than the log", "vhdx_log_empty", "", []logEntry{{sequence: 1}}, func(f *sparse) { f.put32(logAt+8, 2*mib); f.sealEntry(0, 1) }},
		{"entry of odd length", "vhdx_log_empty", "", []logEntry{{sequence: 1}}, func(f *sparse) { f.put32(logAt+8, 4097); f.sealEntry(0, 1) }},
		{"data sectors missing", "vhdx_log_empty", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, data: data}}}}, func(f *sparse) { f.put32(logAt+8, 4096); f.sealEntry(0, 1) }},
		{"too much padding", "vhdx_log_empty", "", []logEntry{{sequence: 1, padding: 16}}, nil},
		{"tail beyond the log", "vhdx_log_empty", "", []logEntry{{sequence: 1, tail: 256}}, nil},
		{"tail elsewhere", "vhdx_log_empty", "", []logEntry{{sequence: 1, tail: 1}}, nil},
		{"number 0", "vhdx_log_empty", "", []logEntry{{sequence: 0}}, nil},
		{"log of no length", "vhdx_log_place", "", nil, func(f *sparse) { f.put32(headerOffset1+68, 0); f.put32(headerOffset2+68, 0); f.seal() }},
		{"log too large", "vhdx_log_size", "", nil, func(f *sparse) { f.put32(headerOffset1+68, 4095*mib); f.put32(headerOffset2+68, 4095*mib); f.seal() }},
		{"log beyond the end", "vhdx_truncated", "", nil, func(f *sparse) { f.put64(headerOffset1+72, 1<<40); f.put64(headerOffset2+72, 1<<40); f.seal() }},
		{"over the file identifier", "vhdx_log_target", "", []logEntry{{sequence: 1, updates: []update{{off: 0, data: data}}}}, nil},
		{"over a header", "vhdx_log_target", "", []logEntry{{sequence: 1, updates: []update{{off: headerOffset2, length: 4096}}}}, nil},
		{"over the log", "vhdx_log_target", "", []logEntry{{sequence: 1, updates: []update{{off: logAt + mib - 4096, data: data}}}}, nil},
		{"zeros over the log and more", "vhdx_log_target", "", []logEntry{{sequence: 1, updates: []update{{off: 512 * kib, length: 4 * mib}}}}, nil},
		{"cut short", "vhdx_truncated", "vhdx_truncated", []logEntry{{sequence: 1, flushed: 8 * mib, last: 8 * mib, updates: []update{{off: batAt, data: batSector(map[int]int64{0: 7 * mib})}}}}, nil},
		{"a GiB more", "", "", []logEntry{{sequence: 1, last: 7*mib + gib}}, nil},
		{"more than a GiB more", "vhdx_log_growth", "", []logEntry{{sequence: 1, last: 7*mib + gib + 1}}, nil},
		{"file of a PiB", "vhdx_log_growth", "", []logEntry{{sequence: 1, last: 1 << 50}}, nil},
		{"file of the greatest size", "vhdx_log_growth", "", []logEntry{{sequence: 1, last: math.MaxUint64}}, nil},
		{"flushed beyond all", "vhdx_truncated", "", []logEntry{{sequence: 1, flushed: math.MaxUint64}}, nil},
		{"data at a PiB", "vhdx_log_growth", "", []logEntry{{sequence: 1, updates: []update{{off: 1 << 50, data: data}}}}, nil},
		{"data at the end of time", "vhdx_log_growth", "", []logEntry{{sequence: 1, updates: []update{{off: math.MaxUint64 &^ 4095, data: data}}}}, nil},
		{"zeros up to the end of time", "vhdx_log_growth", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, length: math.MaxUint64 &^ 4095}}}}, nil},
		{"zeros up to a PiB", "vhdx_log_growth", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, length: 1 << 50}}}}, nil},
		{"a bad table by the log", "vhdx_block_duplicate", "", []logEntry{{sequence: 1, updates: []update{{off: batAt, data: batSector(map[int]int64{0: dataAt, 1: dataAt})}}}}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := build(disk{present: []int{0, 1, 2}}).logged(tc.entries...)
			if tc.edit != nil {
				tc.edit(f)
			}
			check(t, "known size", readAll(f, f.size), tc.code)
			check(t, "unknown size", readAll(f, -1), or(tc.late, tc.code))
		})
	}
}

// sealEntry makes the checksum of an entry of some sectors right.
func (f *sparse) sealEntry(at, sectors int64) {
	f.put32(logAt+at*4096+4, 0)
	f.put32(logAt+at*4096+4, checksum(f.bytes(logAt+at*4096, int(sectors)*4096)))
}

// TestOverlaidEntries: entries that lie one over the other are not one sequence, though their numbers and sums fit.
func TestOverlaidEntries(t *testing.T) {
	l := &ring{buf: make([]byte, 4*logSector), guid: logID}
	copy(l.sector(0), logEntry{sequence: 1}.encode(logID))
	over := logEntry{sequence: 2, padding: 3}.encode(logID)
	copy(over[3*logSector:], l.sector(0))
	le.PutUint32(over[4:], checksum(over))
	for i := range 3 {
		copy(l.sector(1+i), over[i*logSector:][:logSector])
	}
	if l.parse(0).sectors != 1 || l.parse(1).sectors != 4 {
		t.Fatal("the entries are not valid")
	}
	if got := l.active(); len(got) != 1 || got[0].sequence != 1 {
		t.Errorf("active() = %+v", got)
	}
}

// TestOverlay compares an overlay with the same updates written to a file, in order.
func TestOverlay(t *testing.T) {
	const size, grown = 60 * logSector, 80 * logSector
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 4))
		file := make([]byte, size)
		for i := range file {
			file[i] = byte(rng.Uint32())
		}
		o := &overlay{base: bytes.NewReader(file), log: &ring{buf: make([]byte, 16*logSector)}, flushed: size, end: grown}
		for i := range o.log.buf {
			o.log.buf[i] = byte(rng.Uint32())
		}
		want := append(bytes.Clone(file), make([]byte, grown-size)...)
		for range rng.IntN(30) {
			p := patch{data: noData}
			p.start = rng.Int64N(grown/logSector) * logSector
			if p.end = p.start + logSector; rng.IntN(2) == 0 {
				p.data = int32(rng.IntN(16))
				copy(want[p.start:], o.log.sector(int(p.data)))
			} else {
				p.end = min(p.start+(1+rng.Int64N(9))*logSector, grown)
				clear(want[p.start:p.end])
			}
			o.patches = append(o.patches, p)
		}
		o.index()
		for range 300 {
			off := rng.Int64N(grown)
			b := make([]byte, rng.IntN(6*logSector))
			n, err := o.ReadAt(b, off)
			expect := want[off:min(grown, off+int64(len(b)))]
			if !bytes.Equal(b[:n], expect) || (n < len(b)) != (err == io.EOF) {
				t.Fatalf("seed %d: ReadAt(%d bytes at %d) = %d, %v", seed, len(b), off, n, err)
			}
		}
	}
}

// TestFullLog fills the largest log that is replayed with the smallest updates, which all lie one over the other: it
// must neither take long nor much memory.
func TestFullLog(t *testing.T) {
	f := build(disk{})
	f.size = 32 * mib
	for _, at := range []int64{headerOffset1, headerOffset2} {
		f.put32(at+68, maxReplay)
		f.put64(at+72, 8*mib)
		f.write(at+48, logID[:])
	}
	f.seal()
	e := logEntry{sequence: 1, flushed: 32 * mib, last: 32 * mib}
	for i := range uint64(maxReplay/32 - 2) {
		e.updates = append(e.updates, update{off: batAt + i%200*4096, length: 4096 * (1 + i%50)})
	}
	f.write(8*mib, e.encode(logID))
	d, err := Open(f, f.size)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.NextData(0); err != io.EOF {
		t.Error(err)
	}
}

// TestManyEntries fills the largest log with entries that begin no sequence, the worst case of the search.
func TestManyEntries(t *testing.T) {
	l := &ring{buf: make([]byte, maxReplay), guid: logID}
	for i := range l.sectors() - 1 {
		copy(l.sector(i), logEntry{sequence: uint64(i + 1), tail: i + 1}.encode(logID))
	}
	if got := l.active(); got != nil {
		t.Errorf("found a sequence of %d entries", len(got))
	}
}
