package importer_test

import (
	"bytes"
	"compress/gzip"
	"os/exec"
	"slices"
	"testing"

	"ingot/internal/disk/craft"
	"ingot/internal/disk/disktest"
)

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// wrapped is a compressed disk that a change makes another file of.
func wrapped(name, code string, file []byte, change func(b []byte) []byte) hostile {
	c := literal(name, code, change(bytes.Clone(file)))
	c.guest = rawGuest
	return c
}

func same(b []byte) []byte { return b }

func gzipCases() []hostile {
	gz := gzipped(rawGuest)
	tail := func(n int) func([]byte) []byte { // flips a bit that many bytes before the end
		return func(b []byte) []byte { b[len(b)-n] ^= 1; return b }
	}
	field := func(flag byte, text []byte) func([]byte) []byte {
		return func(b []byte) []byte { b[3] |= flag; return slices.Concat(b[:10], text, b[10:]) }
	}
	name := append(bytes.Repeat([]byte("n"), 64*kib), 0)
	return []hostile{
		wrapped("gzip", "", gz, same),
		wrapped("gzip, CRC", "gzip_checksum", gz, tail(8)),
		wrapped("gzip, ISIZE", "gzip_length", gz, tail(4)),
		wrapped("gzip, truncated", "gzip_truncated", gz, func(b []byte) []byte { return b[:len(b)/2] }),
		wrapped("gzip, truncated in the trailer", "gzip_truncated", gz, func(b []byte) []byte { return b[:len(b)-3] }),
		wrapped("gzip, truncated in the header", "gzip_truncated", gz, func(b []byte) []byte { return b[:7] }),
		wrapped("gzip, damaged", "gzip_corrupt", gz, func(b []byte) []byte { b[10] |= 6; return b }),
		wrapped("gzip, trailing garbage", "gzip_trailing_data", gz, func(b []byte) []byte { return append(b, "garbage"...) }),
		wrapped("gzip, trailing zeros", "", gz, func(b []byte) []byte { return append(b, make([]byte, 10000)...) }),
		wrapped("gzip, garbage after zeros", "gzip_trailing_data", gz, func(b []byte) []byte { return append(b, "\x00\x00\x00x"...) }),
		wrapped("gzip, two members", "", nil, func([]byte) []byte {
			return slices.Concat(gzipped(rawGuest[:mib]), gzipped(rawGuest[mib:]))
		}),
		wrapped("gzip, 200,000 empty members", "", gz, func(b []byte) []byte { return append(bytes.Repeat(gzipped(nil), 200_000), b...) }),
		wrapped("gzip, long name", "", gz, field(8, name)),
		wrapped("gzip, long comment", "", gz, field(16, name)),
		wrapped("gzip, extra field", "", gz, field(4, append([]byte{0xff, 0xff}, make([]byte, 0xffff)...))),
		wrapped("gzip, name without an end", "gzip_header", gz, func(b []byte) []byte { b[3] |= 8; return append(b[:10], bytes.Repeat([]byte("n"), 2*mib)...) }),
		wrapped("gzip, reserved flags", "gzip_header", gz, func(b []byte) []byte { b[3] |= 0x20; return b }),
		wrapped("gzip, method 7", "gzip_header", gz, func(b []byte) []byte { b[2] = 7; return b }),
		wrapped("gzip in gzip", "compression_nested", gzipped(gz), same),
		wrapped("tar in gzip", "compression_nested", gzipped(magicCase("", "", 257, "ustar\x0000").make()), same),
		{name: "qcow2 with compressed clusters in gzip", guest: qcow2Guest, make: func() []byte {
			return gzipped(craft.NewQCOW2(qcow2V3).Fill(qcow2Guest).Bytes)
		}},
		wrapped("qcow2 with a backing file in gzip", "qcow2_backing_file", gzipped(qcow2Headers()[3].make()), same),
	}
}

// bzip2Of compresses with a tool; Go has no writer of bzip2.
func bzip2Of(t *testing.T, tool string, b []byte) []byte {
	t.Helper()
	disktest.NeedTool(t, tool)
	cmd := exec.Command(tool, "-c")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func bzip2Cases(t *testing.T) []hostile {
	t.Helper()
	bz := bzip2Of(t, "bzip2", rawGuest)
	at := func(i int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[i] ^= v; return b }
	}
	return []hostile{
		wrapped("bzip2", "", bz, same),
		wrapped("bzip2, two streams", "", nil, func([]byte) []byte {
			return slices.Concat(bzip2Of(t, "bzip2", rawGuest[:mib]), bzip2Of(t, "bzip2", rawGuest[mib:]))
		}),
		wrapped("pbzip2", "", bzip2Of(t, "pbzip2", rawGuest), same),
		wrapped("lbzip2", "", bzip2Of(t, "lbzip2", rawGuest), same),
		wrapped("bzip2, block's CRC", "bzip2_checksum", bz, at(10, 1)),
		wrapped("bzip2, stream's CRC", "bzip2_checksum", bz, func(b []byte) []byte { b[len(b)-3] ^= 0x10; return b }),
		wrapped("bzip2, truncated", "bzip2_truncated", bz, func(b []byte) []byte { return b[:len(b)/2] }),
		wrapped("bzip2, trailing garbage", "bzip2_trailing_data", bz, func(b []byte) []byte { return append(b, "garbage"...) }),
		wrapped("bzip2, damaged", "bzip2_corrupt", bz, func(b []byte) []byte { copy(b[2000:], bytes.Repeat([]byte{0xff}, 300)); return b }),
		wrapped("bzip2, randomised bit", "bzip2_randomised", bz, at(14, 0x80)),
		wrapped("bzip2, level 0", "bzip2_header", bz, func(b []byte) []byte { b[3] = '0'; return b }),
		wrapped("gzip in bzip2", "compression_nested", bzip2Of(t, "bzip2", gzipped(rawGuest)), same),
		wrapped("bzip2 in gzip", "compression_nested", gzipped(bz), same),
		wrapped("tar in bzip2", "compression_nested", bzip2Of(t, "bzip2", magicCase("", "", 257, "ustar\x0000").make()), same),
	}
}
