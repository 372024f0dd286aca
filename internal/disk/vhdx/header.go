package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"ingot/internal/refusal"
)

// Where the parts of the header section stand ([MS-VHDX] 2.2, figure 3).
const (
	headerOffset1 = 64 * kib
	headerOffset2 = 128 * kib
	headerSize    = 4 * kib
	headerSection = mib
)

// header is a header of the file ([MS-VHDX] 2.2.2), as far as a reader wants it.
type header struct {
	raw        []byte
	sequence   uint64
	logGUID    [16]byte // zero: nothing to replay
	logVersion uint16
	version    uint16
	logLength  uint32
	logOffset  uint64

	log span // made of the two above
}

// readHeader returns the current header: the valid one with the greater sequence number.
func readHeader(file source) (header, error) {
	first, err := parseHeader(file, headerOffset1)
	if err != nil {
		return header{}, err
	}
	second, err := parseHeader(file, headerOffset2)
	if err != nil {
		return header{}, err
	}
	switch {
	case first == nil && second == nil:
		return header{}, damaged("vhdx_headers",
			"Neither of the two headers of the VHDX file has a valid checksum.")
	case first == nil:
		return checkHeader(*second)
	case second == nil:
		return checkHeader(*first)
	case first.sequence == second.sequence && !bytes.Equal(first.raw, second.raw):
		return header{}, refusal.New("vhdx_headers_ambiguous",
			"The two headers of the VHDX file differ but have the same sequence number, so neither is the current one. "+rewrite)
	case second.sequence > first.sequence:
		return checkHeader(*second)
	}
	return checkHeader(*first)
}

// parseHeader returns nil if the header is not valid, which the other may make up for.
func parseHeader(file source, off int64) (*header, error) {
	b := make([]byte, headerSize)
	if err := file.read(b, off, "header"); err != nil {
		return nil, err
	}
	if string(b[:4]) != "head" || binary.LittleEndian.Uint32(b[4:]) != checksum(b) {
		return nil, nil
	}
	return &header{
		raw:        b,
		sequence:   binary.LittleEndian.Uint64(b[8:]),
		logGUID:    [16]byte(b[48:64]),
		logVersion: binary.LittleEndian.Uint16(b[64:]),
		version:    binary.LittleEndian.Uint16(b[66:]),
		logLength:  binary.LittleEndian.Uint32(b[68:]),
		logOffset:  binary.LittleEndian.Uint64(b[72:]),
	}, nil
}

func checkHeader(h header) (header, error) {
	if h.version != 1 {
		return header{}, refusal.New("vhdx_version",
			"The VHDX file is of version %d; only version 1 is known. "+rewrite, h.version)
	}
	if h.logVersion != 0 {
		return header{}, refusal.New("vhdx_log_version",
			"The log of the VHDX file is of version %d; only version 0 is known. "+rewrite, h.logVersion)
	}
	if h.logLength == 0 && !h.replays() {
		return h, nil
	}
	log, ok := place(h.logOffset, h.logLength)
	if !ok || h.logLength == 0 {
		return header{}, damaged("vhdx_log_place",
			"The header of the VHDX file puts the log at byte %d with %d bytes, where no log can be.",
			h.logOffset, h.logLength)
	}
	h.log = log
	return h, nil
}

// replays reports whether the log may hold updates that are not in their place yet.
func (h header) replays() bool { return h.logGUID != [16]byte{} }

// checksum is the CRC-32C of a structure whose bytes 4 to 7 hold the checksum itself and count as zeros. A log entry
// comes in its sectors: more are those after the first.
func checksum(first []byte, more ...[]byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	var zeros [4]byte
	sum := crc32.Update(0, castagnoli, first[:4])
	sum = crc32.Update(sum, castagnoli, zeros[:])
	sum = crc32.Update(sum, castagnoli, first[8:])
	for _, b := range more {
		sum = crc32.Update(sum, castagnoli, b)
	}
	return sum
}

// guid is the usual text of a GUID in its binary form, whose first three fields are little-endian.
func guid(b []byte) string {
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}
