package spool

import (
	"bytes"
	"slices"
	"sync"
)

// leastPieces is what a spool needs: a piece that is being filled, and one that is leaving for the file.
const leastPieces = 2

var bodies = sync.Pool{New: func() any { return new([extent]byte) }}

// memory holds the latest of what has arrived, an extent a piece. What is released there never gets to the file.
type memory struct {
	most int

	mu      sync.RWMutex // held to copy out of a piece: one that is taken away is used again
	pieces  []piece      // in order; the last is being filled
	leaving int64        // extent that is being written to the file; -1: none
}

type piece struct {
	extent int64
	body   *[extent]byte
}

func newMemory(size int64) memory {
	return memory{most: int(max(size/extent, leastPieces)), leaving: -1}
}

// find is for who holds mu. It returns len(m.pieces) where the extent is not here.
func (m *memory) find(e int64) int {
	for i := range m.pieces {
		if m.pieces[i].extent == e {
			return i
		}
	}
	return len(m.pieces)
}

// read copies bytes of one extent, and returns false where it is not here: what has arrived is in the file then.
func (m *memory) read(p []byte, off int64) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	i := m.find(off / extent)
	if i == len(m.pieces) {
		return false
	}
	copy(p, m.pieces[i].body[off%extent:])
	return true
}

// add makes a piece for the next extent. Where there is no room for one it returns nil and the oldest piece, which
// stays where it is until left is called.
func (m *memory) add(e int64) (*[extent]byte, piece) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pieces) >= m.most {
		m.leaving = m.pieces[0].extent
		return nil, m.pieces[0]
	}
	body := bodies.Get().(*[extent]byte)
	m.pieces = append(m.pieces, piece{e, body})
	return body, piece{}
}

// drop takes an extent away that nobody will read again, and returns false if it is in the file. One that is on its way
// there is left to spill.
func (m *memory) drop(e int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(e)
	if i == len(m.pieces) {
		return false
	}
	if e != m.leaving {
		m.take(i)
	}
	return true
}

// left ends the leaving of the oldest piece. written says that the file has it.
func (m *memory) left(written bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if written {
		m.take(m.find(m.leaving))
	}
	m.leaving = -1
}

func (m *memory) take(i int) {
	bodies.Put(m.pieces[i].body)
	m.pieces = slices.Delete(m.pieces, i, i+1)
}

// clear gives all up. unused says that nobody is filling a piece any more.
func (m *memory) clear(unused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for unused && len(m.pieces) > 0 {
		m.take(0)
	}
	m.pieces = nil
}

// spill moves the oldest piece to the file, or drops it if nothing is read again.
func (s *Spool) spill(p piece) error {
	var err error
	if !s.useless.Load() {
		err = s.writeBlocks(p)
	}
	if s.useless.Load() {
		err = nil // of a full disk, which matters no more
	}
	s.memory.left(err == nil)
	if err == nil && s.given.isComplete(p.extent) {
		s.punch(p.extent, p.extent+1)
	}
	return err
}

// writeBlocks writes what may still be read of a piece and is not zeros.
func (s *Spool) writeBlocks(p piece) error {
	given := s.given.blocks(p.extent)
	for i := 0; i < perExtent; {
		from := i
		for ; i < perExtent && given[i/64]>>(i%64)&1 == 0 && !isZero(p.body[i*block:(i+1)*block]); i++ {
		}
		if from == i {
			i++
			continue
		}
		if _, err := s.file.WriteAt(p.body[from*block:i*block], p.extent*extent+int64(from)*block); err != nil {
			return noSpace(err)
		}
	}
	return nil
}

func isZero(p []byte) bool { return p[0] == 0 && bytes.Equal(p[:len(p)-1], p[1:]) }
