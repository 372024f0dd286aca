package export_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
)

// memory is a disk in memory. It counts the bytes that are read from it and can have a place that cannot be read.
type memory struct {
	bytes []byte
	data  [][2]int64 // ranges in order
	bad   int64      // -1 for none
	read  atomic.Int64
}

var errBad = errors.New("this place cannot be read")

// scattered returns a disk of random data at random places; every one of the data bytes is not zero.
func scattered(size int64, ranges int, longest int64, seed uint64) *memory {
	rng := rand.New(rand.NewPCG(seed, 7))
	m := &memory{bytes: make([]byte, size), bad: -1}
	at := int64(0)
	for range ranges {
		start := at + rng.Int64N(2*size/int64(ranges))
		end := min(start+1+rng.Int64N(longest), size)
		if start >= end {
			break
		}
		for i := start; i < end; i++ {
			m.bytes[i] = byte(1 + rng.IntN(255))
		}
		m.data = append(m.data, [2]int64{start, end})
		at = end
	}
	return m
}

func (m *memory) Size() int64 { return int64(len(m.bytes)) }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if m.bad >= 0 && off <= m.bad && m.bad < off+int64(len(p)) {
		return 0, errBad
	}
	if off >= m.Size() {
		return 0, io.EOF
	}
	n := copy(p, m.bytes[off:])
	m.read.Add(int64(n))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) NextData(off int64) (start, end int64, err error) {
	for _, r := range m.data {
		if r[1] > off {
			return max(off, r[0]), r[1], nil
		}
	}
	return 0, 0, io.EOF
}
