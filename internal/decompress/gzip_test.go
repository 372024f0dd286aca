package decompress

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"ingot/internal/disk/disktest"
)

func TestGzipTools(t *testing.T) {
	disk := diskBytes(t, 2<<20)
	for _, tool := range [][]string{
		{"gzip", "-1"}, {"gzip", "-6"}, {"gzip", "-9"}, {"pigz", "-1"}, {"pigz", "-9", "-p", "4"},
		{"pigz", "-p", "4", "-i", "-b", "128"}, {"pigz", "-0"}, {"pigz", "-H"}, {"pigz", "-U"},
	} {
		disktest.NeedTool(t, tool[0])
		for _, size := range []int{0, 1, 100, HeadSize, 70_000, len(disk)} {
			packed := piped(t, disk[:size], tool[0], tool[1:]...)
			for name, src := range sources(packed) {
				got, err := read(t, src, large)
				if err != nil || !bytes.Equal(got, disk[:size]) {
					t.Errorf("%v, %d bytes, %s: %d bytes, %v", tool, size, name, len(got), err)
				}
			}
		}
	}
}

// member is a gzip member with a header of its own.
func member(t testing.TB, flags byte, fields string, text []byte) []byte {
	t.Helper()
	header := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3}, fields...)
	if flags&gzipHeaderCRC != 0 {
		header = binary.LittleEndian.AppendUint16(header, uint16(crc32.ChecksumIEEE(header)))
	}
	return append(header, gzipped(t, text)[10:]...)
}

func TestGzipAccepted(t *testing.T) {
	disk := diskBytes(t, 200_000)
	half := len(disk) / 2
	name := string(bytes.Repeat([]byte{'x'}, 1<<20-100)) + "\x00"
	extra := "\xff\xff" + string(make([]byte, 1<<16-1))
	whole := gzipped(t, disk)
	tests := map[string][]byte{
		"name":            member(t, gzipName, "disk.raw\x00", disk),
		"name of a MiB":   member(t, gzipName, name, disk),
		"all fields":      member(t, gzipHeaderCRC|gzipExtra|gzipName|gzipComment, extra+"a\x00b\x00", disk),
		"empty fields":    member(t, gzipExtra|gzipName|gzipComment, "\x00\x00\x00\x00", disk),
		"text flag":       member(t, 1, "", disk),
		"two members":     slices.Concat(gzipped(t, disk[:half]), gzipped(t, disk[half:])),
		"an empty one":    slices.Concat(gzipped(t, nil), whole, gzipped(t, nil)),
		"one zero":        append(whole[:len(whole):len(whole)], 0),
		"a tape's zeros":  append(whole[:len(whole):len(whole)], make([]byte, 10_240)...),
		"a MB of zeros":   append(whole[:len(whole):len(whole)], make([]byte, 3<<20)...),
		"200,000 members": append(bytes.Repeat(gzipped(t, nil), 200_000), whole...),
		"byte by byte": slices.Concat(slices.Collect(func(yield func([]byte) bool) {
			for _, b := range disk[:3000] {
				yield(gzipped(t, []byte{b}))
			}
			yield(gzipped(t, disk[3000:]))
		})...),
	}
	for name, packed := range tests {
		for how, src := range sources(packed) {
			got, err := read(t, src, large)
			if err != nil || !bytes.Equal(got, disk) {
				t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
			}
		}
	}
}

func TestGzipRefused(t *testing.T) {
	const wording = "We had a problem decompressing your file. "
	disk := diskBytes(t, 200_000)
	whole := gzipped(t, disk)
	with := func(at int, v byte) []byte {
		c := bytes.Clone(whole)
		c[(at+len(c))%len(c)] ^= v
		return c
	}
	// A block of its own, whose match reaches back to before the member.
	reach := slices.Concat(gzipped(t, disk), []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}, []byte{0x03, 0x02, 0x00}, make([]byte, 100))
	longName := append(bytes.Repeat([]byte{'x'}, 1<<20), 0)
	tests := []struct {
		name, code, part string
		packed           []byte
		out              int // bytes that come out before, at most; -1 if they may be wrong
	}{
		{"method 7", "gzip_header", "method 7", with(2, 8^7), 0},
		{"reserved flag", "gzip_header", "0x80", with(3, 0x80), 0},
		{"reserved flags", "gzip_header", "0xe2", with(3, 0xe2), 0},
		{"header checksum", "gzip_header", "checksum", member(t, gzipName|gzipHeaderCRC, "a\x00b", disk), 0},
		{"a name without end", "gzip_header", "1048576", member(t, gzipName, string(longName), disk), 0},
		{"a comment without end", "gzip_header", "1048576", member(t, gzipComment, string(longName), disk), 0},
		{"second member's method", "gzip_header", "method 1", slices.Concat(whole, []byte("\x1f\x8b\x01\x00\x00\x00\x00\x00\x00\x00")), len(disk)},
		{"reach before the member", "gzip_corrupt", "starts before the data", reach, len(disk)},
		{"damaged data", "gzip_corrupt", "decompressed byte", append(whole[:50_000:50_000], bytes.Repeat([]byte{0xff}, len(whole)-50_000)...), -1},
		{"checksum", "gzip_checksum", "decompressed byte 200000 ", with(-8, 1), len(disk)},
		{"length", "gzip_length", "decompressed byte 200000 ", with(-1, 1), len(disk)},
		{"first member's checksum", "gzip_checksum", "decompressed byte 200000 ", slices.Concat(with(-8, 1), whole), len(disk)},
		{"trailing text", "gzip_trailing_data", "truncate -s ", slices.Concat(whole, []byte("text")), len(disk)},
		{"trailing byte", "gzip_trailing_data", "truncate -s ", slices.Concat(whole, []byte{0x1f}), len(disk)},
		{"text after zeros", "gzip_trailing_data", "truncate -s ", slices.Concat(whole, make([]byte, 2<<20), []byte{1}), len(disk)},
		{"a member after zeros", "gzip_trailing_data", "truncate -s ", slices.Concat(whole, make([]byte, 512), whole), len(disk)},
	}
	for _, test := range tests {
		for how, src := range sources(test.packed) {
			got, err := read(t, src, large)
			wantRefusal(t, err, test.code, wording, test.part)
			if test.out < 0 {
				continue
			}
			if len(got) > test.out || !bytes.HasPrefix(disk, got) {
				t.Errorf("%s, %s: %d bytes came out", test.name, how, len(got))
			}
		}
	}
}

func TestGzipTruncated(t *testing.T) {
	disk := diskBytes(t, 100_000)
	packed := member(t, gzipHeaderCRC|gzipExtra|gzipName|gzipComment, "\x10\x000123456789abcdefname\x00comment\x00", disk)
	for cut := 3; cut < len(packed); cut++ {
		if cut > 100 && cut < len(packed)-100 && cut%997 != 0 {
			continue
		}
		got, err := read(t, bytes.NewReader(packed[:cut]), large)
		wantRefusal(t, err, "gzip_truncated", "We had a problem decompressing your file. ", "ends too early", "gzip -t")
		if !bytes.HasPrefix(disk, got) {
			t.Fatalf("cut at %d: wrong bytes", cut)
		}
	}
}

// TestGzipHistory has matches that reach as far back as they may, over the ends of all buffers.
func TestGzipHistory(t *testing.T) {
	period := diskBytes(t, 1<<20)[:history-1]
	disk := bytes.Repeat(period, 200)
	got, err := read(t, bytes.NewReader(piped(t, disk, "gzip", "-9")), large)
	if err != nil || !bytes.Equal(got, disk) {
		t.Errorf("%d bytes of %d, %v", len(got), len(disk), err)
	}
}

func TestGzipSlowReader(t *testing.T) {
	disk := diskBytes(t, 4<<20)
	d, err := NewReader(t.Context(), bytes.NewReader(gzipped(t, disk)), large)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got := new(bytes.Buffer)
	if _, err := io.CopyBuffer(struct{ io.Writer }{got}, struct{ io.Reader }{d}, make([]byte, 777)); err != nil || !bytes.Equal(got.Bytes(), disk) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}
