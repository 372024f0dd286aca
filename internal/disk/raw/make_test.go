package raw

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// withMBR writes a boot signature and partitions of (type, first sector, count) to a disk.
func withMBR(b []byte, partitions ...[3]uint32) []byte {
	copy(b[510:], "\x55\xaa")
	for i, p := range partitions {
		entry := b[446+16*i:]
		entry[4] = byte(p[0])
		binary.LittleEndian.PutUint32(entry[8:], p[1])
		binary.LittleEndian.PutUint32(entry[12:], p[2])
	}
	return b
}

// withGPT writes a protective MBR and a GPT header whose backup is at the sector alternate.
func withGPT(b []byte, sector int, alternate uint64) []byte {
	withMBR(b, [3]uint32{0xee, 1, 0xffffffff})
	h := b[sector : 2*sector]
	copy(h, "EFI PART\x00\x00\x01\x00")
	binary.LittleEndian.PutUint32(h[12:], 92)
	binary.LittleEndian.PutUint64(h[24:], 1)
	binary.LittleEndian.PutUint64(h[32:], alternate)
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return b
}

// noise is size bytes in runs of zeros and of data, most of whole pages, with a boot signature.
func noise(size int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, size)
	for off := 0; off < size; {
		n := min(size-off, pageSize*(1+rng.IntN(1<<rng.IntN(8))))
		if rng.IntN(8) == 0 {
			n = min(n, 1+rng.IntN(3000))
		}
		if rng.IntN(2) == 0 {
			for i := off; i < off+n; i += 1 + rng.IntN(40) {
				b[i] = byte(rng.Uint32())
			}
		}
		off += n
	}
	return withMBR(b)
}
