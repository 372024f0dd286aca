package qcow2

const (
	pageSectors = 1 << 15 // a page of 4 KiB stands for 16 MiB of the file
	pageBytes   = pageSectors * sectorSize
	maxTiny     = 1 << 20 // streams within one sector that are known one by one; each costs some 40 bytes
	tinyBytes   = 4 << 10 // stretch of the file that is closed to more of them when one in it is forgotten
)

// claims knows which sectors of the file are spoken for, in two bits each:
//
//	owned packed
//	  0     0     nobody's
//	  1     0     one table's, plain cluster's or stream's alone
//	  0     1     holds ends of streams, and streams that begin and end in it
//	  1     1     so too, and the last of them goes on in the next sector
//
// With that no two streams may cross the same boundary of sectors. Streams that cross none are told apart by where
// they begin, the latest maxTiny of them: what cannot be told from a forgotten one is refused. Writers append, so only a
// file that was written in no order asks for one again that is so long gone. What remains possible is an overlap within one
// sector, which gives no more guest bytes for a byte of the file than an honest stream can.
type claims struct {
	owned, packed bitmap

	tiny   map[int64]struct{} // where the latest streams within one sector begin
	order  []int64            // they, in a ring once they are maxTiny
	oldest int                // in order
	closed bitmap             // by tinyBytes: one was forgotten there
}

type verdict uint8

const (
	granted verdict = iota
	taken
	tooMany
)

// claim takes whole sectors for one owner.
func (c *claims) claim(from, to int64) verdict {
	if c.any(from, to) {
		return taken
	}
	c.owned.set(from/sectorSize, (to+sectorSize-1)/sectorSize)
	return granted
}

// any reports whether a sector of bytes [from, to) is somebody's.
func (c *claims) any(from, to int64) bool {
	first, end := from/sectorSize, (to+sectorSize-1)/sectorSize
	return c.owned.any(first, end) || c.packed.any(first, end)
}

// claimStream takes the sectors of a compressed stream, of which the first and the last may be shared with others.
func (c *claims) claimStream(from, length int64) verdict {
	first, last := from/sectorSize, (from+length-1)/sectorSize
	if c.owned.any(last, last+1) && !c.packed.any(last, last+1) {
		return taken
	}
	if first == last {
		return c.claimTiny(from, first)
	}
	if c.owned.any(first, first+1) || c.claim((first+1)*sectorSize, last*sectorSize) != granted {
		return taken
	}
	c.owned.set(first, first+1)
	c.packed.set(first, first+1)
	c.packed.set(last, last+1)
	return granted
}

func (c *claims) claimTiny(from, sector int64) verdict {
	if _, ok := c.tiny[from]; ok {
		return taken
	}
	if c.closed.any(from/tinyBytes, from/tinyBytes+1) {
		return tooMany
	}
	c.remember(from)
	c.packed.set(sector, sector+1)
	return granted
}

func (c *claims) remember(from int64) {
	if c.tiny == nil {
		c.tiny = map[int64]struct{}{}
	}
	c.tiny[from] = struct{}{}
	if len(c.order) < maxTiny {
		c.order = append(c.order, from)
		return
	}
	old := c.order[c.oldest]
	delete(c.tiny, old)
	c.closed.set(old/tinyBytes, old/tinyBytes+1)
	c.order[c.oldest] = from
	c.oldest = (c.oldest + 1) % maxTiny
}

// opened reports whether byte off of the file may be claimed. Memory is made only for places that the file has.
func (c *claims) opened(off int64) bool {
	page := off / pageBytes
	return page < int64(len(c.owned)) && c.owned[page] != nil
}

func (c *claims) open(off int64) { c.owned.page(off / pageBytes) }

// bitmap has a bit for each sector, or other unit, in pages of which those without a set bit may be missing.
type bitmap []*page

type page [pageSectors / 64]uint64

// page returns a page, made if need be.
func (b *bitmap) page(i int64) *page {
	if more := i + 1 - int64(len(*b)); more > 0 {
		*b = append(*b, make(bitmap, more)...)
	}
	if (*b)[i] == nil {
		(*b)[i] = new(page)
	}
	return (*b)[i]
}

// any reports whether a bit in [from, end) is set.
func (b bitmap) any(from, end int64) bool {
	for from < end {
		word, mask, next := wordOf(from, end)
		if p := from / pageSectors; p < int64(len(b)) && b[p] != nil && b[p][word]&mask != 0 {
			return true
		}
		from = next
	}
	return false
}

// set sets the bits in [from, end).
func (b *bitmap) set(from, end int64) {
	for from < end {
		word, mask, next := wordOf(from, end)
		b.page(from / pageSectors)[word] |= mask
		from = next
	}
}

// wordOf returns which word of its page holds bit from, the mask of the word's bits in [from, end), and the first bit
// after them.
func wordOf(from, end int64) (word int64, mask uint64, next int64) {
	next = min(end, (from|63)+1)
	mask = (1<<uint(next-from) - 1) << (from & 63)
	return from % pageSectors / 64, mask, next
}
