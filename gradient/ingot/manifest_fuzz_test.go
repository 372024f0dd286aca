package ingot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"ingot/gradient/ingot"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// chunks writes the records of chunks of 100 bytes with holes of 100 bytes before each.
func chunks(n int) (records []byte) {
	for i := range n {
		records = binary.LittleEndian.AppendUint64(records, uint64(i)*200+100)
		records = binary.LittleEndian.AppendUint32(records, 100)
		records = append(records, make([]byte, 32)...)
	}
	return records
}

// manifest makes whole records a manifest with the right sums.
func manifest(records []byte, guest, data uint64) []byte {
	var index []byte
	for rest := records; len(rest) > 0; {
		block := rest[:min(len(rest), 1024*44)]
		index = append(index, block[:8]...)
		s := sum(block)
		index = append(index, s[:]...)
		rest = rest[len(block):]
	}
	b := append(append(bytes.Clone(records), index...), "INGOTMAN"...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 1)
	for _, n := range []uint64{guest, data, uint64(len(records) / 44)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func TestManifestsOfAllSizes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 1023, 1024, 1025, 3000} {
		m, err := ingot.ParseManifest(manifest(chunks(n), uint64(n)*200+50, uint64(n)*100))
		if err != nil || len(m.Chunks) != n || m.GuestSize != int64(n)*200+50 {
			t.Errorf("%d chunks: %v", n, err)
		}
	}
}

// FuzzParseManifest tries what is no manifest, and, with the right sums, what has impossible chunks.
func FuzzParseManifest(f *testing.F) {
	for _, n := range []uint64{0, 1, 2, 1025} {
		f.Add(chunks(int(n)), n*200, n*100, true)
		f.Add(manifest(chunks(int(n)), n*200, n*100), uint64(0), uint64(0), false)
	}
	f.Add(chunks(2), uint64(1<<63), uint64(200), true)
	f.Add(bytes.Repeat([]byte{0xff}, 88), uint64(1<<63-1), uint64(1<<33-2), true)
	f.Fuzz(func(t *testing.T, data []byte, guest, held uint64, sums bool) {
		if sums {
			data = manifest(data[:len(data)/44*44], guest, held)
		}
		m, err := ingot.ParseManifest(data)
		if err != nil {
			return
		}
		end := int64(0)
		for _, c := range m.Chunks {
			if c.Offset < end || c.Length <= 0 || c.Length > m.GuestSize || c.Offset > m.GuestSize-c.Length {
				t.Fatalf("%+v after %d in %d", c, end, m.GuestSize)
			}
			end = c.Offset + c.Length
		}
	})
}
