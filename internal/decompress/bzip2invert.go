package decompress

// Inverting the Burrows-Wheeler transform means to follow a chain through 3.6 MB of memory, each step of which waits
// for the one before. So the chain is cut at many rows, and eight of the pieces are followed at once; a piece ends
// where another starts, which tells how to join them.
const (
	lanes     = 8
	laneSize  = 1 << 17 // bytes of a lane: more than maxBlock/lanes
	cuts      = 256
	fewRows   = 1 << 14 // blocks below that are followed in one piece
	rowBits   = 20      // more than maxBlock takes
	startFlag = 1 << 31 // of a row: a piece starts there
)

// inverter turns the last column of the sorted rotations of a block back into the block.
type inverter struct {
	last  []byte // the column, and eight bytes to spare; then the block
	count [256]int
	// By row, a rotation's first byte in bits 0-7, and in bits 8-27 the row of the rotation that starts a byte later.
	rows [1 << rowBits]uint32
	text [lanes * laneSize]byte // lanes, side by side
	rest []byte                 // what was followed when too few pieces were left for the lanes
	// Pieces by where they start: row k*step for piece k, and the origin for the last one.
	pieces [cuts + 1]chain
	step   int
	origin int
	first  int // the piece that starts at the origin
	unused int // pieces that no lane has got yet
}

// chain is what was read from one start to the next.
type chain struct {
	at, end         int // in text
	restAt, restEnd int // in rest, after that
	next            int // the piece that follows
}

// invert makes the block, of n bytes, from its last column and the row that the block itself is.
func (v *inverter) invert(n, origin int) []byte {
	v.sort(n)
	block := v.last[:n]
	if n < fewRows {
		row := uint32(origin)
		for i := range block {
			e := v.rows[row]
			block[i] = byte(e)
			row = e >> 8
		}
		return block
	}
	v.start(n, origin)
	v.followAll()
	v.join(block)
	return block
}

// sort makes the rows: a stable sort of the last column is the first one.
func (v *inverter) sort(n int) {
	place := 0
	for b, count := range v.count {
		v.count[b] = place
		place += count
	}
	for i, b := range v.last[:n] {
		row := v.count[b]
		v.count[b] = row + 1
		v.rows[row%len(v.rows)] = uint32(i)<<8 | uint32(b)
	}
}

// start cuts the chain.
func (v *inverter) start(n, origin int) {
	v.step, v.origin = n/cuts, origin
	for k := range cuts {
		v.rows[k*v.step] |= startFlag
	}
	v.first, v.unused = origin/v.step, cuts
	if v.rows[origin]&startFlag == 0 {
		v.rows[origin] |= startFlag
		v.first, v.unused = cuts, cuts+1
	}
	v.rest = v.rest[:0]
}

// pieceAt is the piece that starts at a row.
func (v *inverter) pieceAt(row uint32) int {
	if int(row) == v.origin {
		return v.first
	}
	return int(row) / v.step
}

func (v *inverter) rowOf(piece int) uint32 {
	if piece == cuts {
		return uint32(v.origin)
	}
	return uint32(piece * v.step)
}

// followAll reads all the pieces.
func (v *inverter) followAll() {
	var at [lanes]uint32
	piece := [lanes]int{}
	for k := range lanes {
		v.unused--
		piece[k], at[k] = v.unused, v.rowOf(v.unused)
		v.pieces[v.unused].at = k * laneSize
	}
	t := 0
	for v.turn(&at, &piece, t) {
		v.stepAll(&at, t)
		t = v.followLanes(&at, t+1)
	}
	for k := range lanes {
		if piece[k] >= 0 {
			v.followRest(&v.pieces[piece[k]], at[k], k*laneSize+t)
		}
	}
}

// turn ends the pieces of lanes that have come to a start, and gives the lanes new ones. It reports false when there
// are none left; the lanes that have none have piece -1.
func (v *inverter) turn(at *[lanes]uint32, piece *[lanes]int, t int) bool {
	more := true
	for k := range lanes {
		c := &v.pieces[piece[k]]
		if v.rows[at[k]]&startFlag == 0 || c.at == k*laneSize+t { // the latter is at its own start
			continue
		}
		c.end, c.restAt, c.restEnd, c.next = k*laneSize+t, 0, 0, v.pieceAt(at[k])
		if v.unused == 0 {
			piece[k], more = -1, false
			continue
		}
		v.unused--
		piece[k], at[k] = v.unused, v.rowOf(v.unused)
		v.pieces[v.unused].at = k*laneSize + t
	}
	return more
}

// stepAll makes one step in every lane, start or not.
func (v *inverter) stepAll(at *[lanes]uint32, t int) {
	for k, row := range at {
		e := v.rows[row]
		v.text[k*laneSize+t] = byte(e)
		at[k] = e &^ startFlag >> 8
	}
}

// followLanes makes steps in every lane until one comes to a start. They are written out so that all the places are
// in registers and eight loads are under way at once.
func (v *inverter) followLanes(at *[lanes]uint32, from int) int {
	rows, text := &v.rows, &v.text
	a0, a1, a2, a3, a4, a5, a6, a7 := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
	t := uint(from)
	for t < laneSize {
		e0, e1, e2, e3 := rows[a0%(1<<rowBits)], rows[a1%(1<<rowBits)], rows[a2%(1<<rowBits)], rows[a3%(1<<rowBits)]
		e4, e5, e6, e7 := rows[a4%(1<<rowBits)], rows[a5%(1<<rowBits)], rows[a6%(1<<rowBits)], rows[a7%(1<<rowBits)]
		if (e0|e1|e2|e3|e4|e5|e6|e7)&startFlag != 0 {
			break
		}
		text[t], text[t+1*laneSize], text[t+2*laneSize], text[t+3*laneSize] = byte(e0), byte(e1), byte(e2), byte(e3)
		text[t+4*laneSize], text[t+5*laneSize], text[t+6*laneSize], text[t+7*laneSize] = byte(e4), byte(e5), byte(e6), byte(e7)
		a0, a1, a2, a3, a4, a5, a6, a7 = e0>>8, e1>>8, e2>>8, e3>>8, e4>>8, e5>>8, e6>>8, e7>>8
		t++
	}
	*at = [lanes]uint32{a0, a1, a2, a3, a4, a5, a6, a7}
	return int(t)
}

// followRest reads a piece to its end, of which a lane had read what ends at an offset in text.
func (v *inverter) followRest(c *chain, row uint32, end int) {
	c.end, c.restAt = end, len(v.rest)
	for e := v.rows[row]; e&startFlag == 0 || c.at == c.end && len(v.rest) == c.restAt; e = v.rows[row] {
		v.rest = append(v.rest, byte(e))
		row = e &^ startFlag >> 8
	}
	c.restEnd, c.next = len(v.rest), v.pieceAt(row)
}

// join puts the pieces together, from the origin on. A block that repeats itself has several chains, and the
// origin's is gone through more than once.
func (v *inverter) join(block []byte) {
	for k := v.first; len(block) > 0; {
		c := &v.pieces[k]
		block = block[copy(block, v.text[c.at:c.end]):]
		block = block[copy(block, v.rest[c.restAt:c.restEnd]):]
		k = c.next
	}
}
