package inflate

import "encoding/binary"

// Zlib decodes a stream in the zlib wrapper (RFC 1950) into dst, as Inflate does, and verifies its checksum. With
// ErrFull the checksum is not verified.
func Zlib(dst, src []byte) (n int, err error) {
	if len(src) < 2 {
		return 0, ErrTruncated
	}
	header := binary.BigEndian.Uint16(src)
	if header>>8&15 != 8 || header>>12 > 7 || header%31 != 0 {
		return 0, CorruptError("no zlib header")
	}
	if header&0x20 != 0 {
		return 0, CorruptError("a preset dictionary")
	}
	n, read, err := Inflate(dst, src[2:])
	if err != nil {
		return n, err
	}
	sum := src[2+read:]
	if len(sum) < 4 {
		return n, ErrTruncated
	}
	if adler(dst[:n]) != binary.BigEndian.Uint32(sum) {
		return n, CorruptError("data that its checksum does not match")
	}
	return n, nil
}
