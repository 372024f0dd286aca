package vhdx

import (
	"encoding/binary"
	"slices"
)

const (
	logSector      = 4 * kib
	entryHeader    = 64
	descriptorSize = 32
	// An entry may be padded to the sectors of the disk below ([MS-VHDX] 2.3.1 and note 1: up to 64 KiB).
	logPadding = 64 * kib / logSector
)

// ring is the log: a circular buffer of sectors, whole in memory.
type ring struct {
	buf  []byte
	guid [16]byte // entries with another one are left over from earlier
}

func (l *ring) sectors() int { return len(l.buf) / logSector }

func (l *ring) sector(i int) []byte {
	return l.buf[i%l.sectors()*logSector:][:logSector]
}

// entry is a valid log entry ([MS-VHDX] 2.3.1.1). Sectors are counted from the start of the log.
type entry struct {
	start       int
	sectors     int // 0: no valid entry starts here
	tail        int // sector of the oldest entry not yet in its place when this one was written
	sequence    uint64
	descriptors int
	flushed     uint64 // FlushedFileOffset
	last        uint64 // LastFileOffset
}

// descriptor returns the i-th descriptor of an entry. They follow the header without a gap, and never cross a sector.
func (l *ring) descriptor(e entry, i int) []byte {
	at := entryHeader + i*descriptorSize
	return l.sector(e.start + at/logSector)[at%logSector:][:descriptorSize]
}

// dataStart is the first data sector of an entry.
func (e entry) dataStart() int {
	return e.start + (entryHeader+e.descriptors*descriptorSize+logSector-1)/logSector
}

// parse returns the entry that starts at a sector, or one of no sectors if none that is valid does.
func (l *ring) parse(start int) entry {
	le := binary.LittleEndian
	h := l.sector(start)
	if string(h[:4]) != "loge" || [16]byte(h[32:48]) != l.guid {
		return entry{}
	}
	length, tail, count := int64(le.Uint32(h[8:])), int64(le.Uint32(h[12:])), int64(le.Uint32(h[24:]))
	e := entry{start: start, sequence: le.Uint64(h[16:]), flushed: le.Uint64(h[48:]), last: le.Uint64(h[56:])}
	if length%logSector != 0 || length > int64(len(l.buf)) || entryHeader+count*descriptorSize > length ||
		tail%logSector != 0 || tail >= int64(len(l.buf)) || e.sequence == 0 {
		return entry{}
	}
	e.sectors, e.tail, e.descriptors = int(length/logSector), int(tail/logSector), int(count)
	if !l.sound(e) || l.sum(e) != le.Uint32(h[4:]) {
		return entry{}
	}
	return e
}

// sound checks descriptors and data sectors. It comes before the checksum, which it bounds: an entry that is sound
// has no other entry's header among its sectors but in the padding, so that checksums over entries laid one over the
// other cannot cost more than a few times the log's size.
func (l *ring) sound(e entry) bool {
	le := binary.LittleEndian
	data := e.dataStart()
	for i := range e.descriptors {
		d := l.descriptor(e, i)
		if le.Uint64(d[16:])%logSector != 0 || le.Uint64(d[24:]) != e.sequence {
			return false
		}
		switch string(d[:4]) {
		case "zero":
			if le.Uint64(d[8:])%logSector != 0 {
				return false
			}
		case "desc":
			if data == e.start+e.sectors || !dataOf(l.sector(data), e.sequence) {
				return false
			}
			data++
		default:
			return false
		}
	}
	return e.start+e.sectors-data < logPadding
}

// dataOf reports whether a data sector belongs to an entry: the sequence number is split between its start and its
// end, so that a torn write shows ([MS-VHDX] 2.3.1.4).
func dataOf(b []byte, sequence uint64) bool {
	le := binary.LittleEndian
	return string(b[:4]) == "data" && le.Uint32(b[4:]) == uint32(sequence>>32) && le.Uint32(b[logSector-4:]) == uint32(sequence)
}

func (l *ring) sum(e entry) uint32 {
	more := make([][]byte, 0, e.sectors-1)
	for i := 1; i < e.sectors; i++ {
		more = append(more, l.sector(e.start+i))
	}
	return checksum(l.sector(e.start), more...)
}

// active returns the entries of the active sequence, oldest first: of all sequences that are valid and complete, the
// one whose last entry has the greatest sequence number ([MS-VHDX] 2.3.3). None: nil.
func (l *ring) active() []entry {
	entries := make([]entry, l.sectors())
	for i := range entries {
		entries[i] = l.parse(i)
	}
	var best []entry
	var run []entry
	for at := 0; at < len(entries); {
		run = follow(entries, at, run[:0])
		// The specification replays from where the run begins; what stands before the last entry's tail is in its
		// place already, and may since have been overwritten by updates that left the log.
		first := -1
		if len(run) > 0 {
			tail := run[len(run)-1].tail
			first = slices.IndexFunc(run, func(e entry) bool { return e.start == tail })
		}
		if first < 0 {
			at++
			continue
		}
		if head := run[len(run)-1]; len(best) == 0 || head.sequence > best[len(best)-1].sequence {
			best = slices.Clone(run[first:])
		}
		for _, e := range run {
			at += e.sectors
		}
	}
	return best
}

// follow appends to run the entries from a sector on, each one's sequence number one greater than the one's before.
func follow(entries []entry, at int, run []entry) []entry {
	for left := len(entries); ; {
		e := entries[at%len(entries)]
		if e.sectors == 0 || e.sectors > left || (len(run) > 0 && e.sequence != run[len(run)-1].sequence+1) {
			return run
		}
		run = append(run, e)
		left -= e.sectors
		at += e.sectors
	}
}
