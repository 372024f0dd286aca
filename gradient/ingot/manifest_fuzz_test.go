package ingot_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"ingot/gradient/ingot"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// manifest writes a manifest of chunks of 100 bytes with holes of 100 bytes before each.
func manifest(chunks int) []byte {
	var records, index []byte
	for i := range chunks {
		records = binary.LittleEndian.AppendUint64(records, uint64(i)*200+100)
		records = binary.LittleEndian.AppendUint32(records, 100)
		records = append(records, make([]byte, 32)...)
	}
	for rest := records; len(rest) > 0; {
		block := rest[:min(len(rest), 1024*44)]
		index = append(index, block[:8]...)
		s := sum(block)
		index = append(index, s[:]...)
		rest = rest[len(block):]
	}
	b := append(append(records, index...), "INGOTMAN"...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 1)
	for _, n := range []int{chunks*200 + 50, chunks * 100, chunks} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func TestManifestsOfAllSizes(t *testing.T) {
	t.Parallel()
	for _, chunks := range []int{0, 1, 1023, 1024, 1025, 3000} {
		m, err := ingot.ParseManifest(manifest(chunks))
		if err != nil || len(m.Chunks) != chunks || m.GuestSize != int64(chunks)*200+50 {
			t.Errorf("%d chunks: %v", chunks, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, chunks := range []int{0, 1, 2, 1025} {
		f.Add(manifest(chunks))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ingot.ParseManifest(data)
		if err != nil {
			return
		}
		end := int64(0)
		for _, c := range m.Chunks {
			if c.Offset < end || c.Length <= 0 || c.Offset+c.Length > m.GuestSize {
				t.Fatalf("%+v after %d in %d", c, end, m.GuestSize)
			}
			end = c.Offset + c.Length
		}
	})
}
