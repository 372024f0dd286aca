package importer_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"ingot/internal/disk/craft"
)

var rawGuest = craft.Guest(2*mib, 5)

func literal(name, code string, b []byte) hostile {
	return hostile{name: name, code: code, make: func() []byte { return b }}
}

// rawCase changes a sound raw disk; what an accepted one holds is the guest's disk itself.
func rawCase(name, code string, change func(f *craft.File)) hostile {
	f := &craft.File{Bytes: bytes.Clone(rawGuest)}
	change(f)
	c := literal(name, code, f.Bytes)
	c.guest = f.Bytes
	return c
}

// partition writes entry i of a partition table.
func partition(f *craft.File, i int64, boot, kind byte, first, count uint32) {
	f.Write(446+16*i, boot)
	f.Write(446+16*i+4, kind)
	f.Put32(446+16*i+8, first)
	f.Put32(446+16*i+12, count)
}

// gpt writes a protective entry and a GPT header whose backup is at the sector given.
func gpt(f *craft.File, backup uint64) {
	partition(f, 0, 0, 0xee, 1, 0xffffffff)
	f.Write(512, make([]byte, 512)...)
	f.Text(512, "EFI PART\x00\x00\x01\x00")
	f.Put32(524, 92)
	f.Put64(536, 1)
	f.Put64(544, backup)
	f.Put32(528, crc32.ChecksumIEEE(f.Bytes[512:604]))
}

func rawCases() []hostile {
	vhd := &craft.File{Bytes: bytes.Clone(rawGuest)}
	vhd.Text(2*mib, "conectix")
	vhd.Grow(2*mib + 512)
	return []hostile{
		rawCase("sound", "", func(*craft.File) {}),
		rawCase("GPT", "", func(f *craft.File) { gpt(f, 2*mib/512-1) }),
		rawCase("hybrid MBR", "", func(f *craft.File) { gpt(f, 2*mib/512-1); partition(f, 1, 0x80, 0x83, 2048, 100) }),
		rawCase("legacy boot flag", "", func(f *craft.File) { gpt(f, 2*mib/512-1); f.Write(446, 0x80) }),
		rawCase("GPT cut short", "raw_truncated", func(f *craft.File) { gpt(f, 2*mib/512) }),
		rawCase("partition beyond the end", "raw_truncated", func(f *craft.File) { partition(f, 0, 0, 0x83, 1<<20, 100) }),
		literal("empty", "raw_empty", nil),
		literal("511 bytes", "raw_not_a_disk", make([]byte, 511)),
		literal("zeros", "raw_not_a_disk", make([]byte, mib)),
		literal("HTML", "raw_not_a_disk", []byte("<!DOCTYPE html><html><title>Sign in</title>")),
		literal("JSON", "raw_not_a_disk", []byte(`{"message":"Not Found"}`)),
		literal("XML", "raw_not_a_disk", []byte(`<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`)),
		literal("fixed VHD", "format_vhd", vhd.Bytes),
	}
}

// magicCase is a file of a kind that is known by a few bytes.
func magicCase(name, code string, at int64, magic string) hostile {
	f := &craft.File{}
	f.Grow(128 * kib)
	f.Text(at, magic)
	return literal(name, code, f.Bytes)
}

func foreignCases() []hostile {
	return []hostile{
		magicCase("dynamic VHD", "format_vhd", 0, "conectix"),
		magicCase("QED", "format_qed", 0, "QED\x00"),
		magicCase("Parallels", "format_parallels", 0, "WithoutFreeSpace"),
		magicCase("Parallels, old", "format_parallels", 0, "WithouFreSpacExt"),
		magicCase("Bochs", "format_bochs", 0, "Bochs Virtual HD Image"),
		magicCase("cloop", "format_cloop", 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),
		magicCase("qcow version 1", "format_qcow1", 0, "QFI\xfb\x00\x00\x00\x01"),
		magicCase("LUKS", "format_luks", 0, "LUKS\xba\xbe"),
		magicCase("ISO 9660", "format_iso", 0x8001, "CD001"),
		magicCase("UDF", "format_iso", 0x8001, "BEA01"),
		magicCase("squashfs", "format_squashfs", 0, "hsqs"),
		magicCase("AFF", "format_aff", 0, "AFF10\r\n"),
		literal("DMG", "format_dmg", dmg()),
		magicCase("tar", "compression_unsupported", 257, "ustar\x0000"),
		magicCase("zip", "compression_unsupported", 0, "PK\x03\x04"),
		magicCase("7z", "compression_unsupported", 0, "7z\xbc\xaf\x27\x1c"),
		magicCase("xz", "compression_unsupported", 0, "\xfd7zXZ\x00"),
		magicCase("zstd", "compression_unsupported", 0, "\x28\xb5\x2f\xfd"),
	}
}

// dmg is a disk with the trailer of an Apple disk image, by which alone they are known.
func dmg() []byte {
	f := &craft.File{Bytes: bytes.Clone(rawGuest)}
	f.Text(2*mib, "koly")
	f.Write(2*mib+4, binary.BigEndian.AppendUint64(nil, 4<<32|512)...)
	f.Grow(2*mib + 512)
	return f.Bytes
}

func polyglots() []hostile {
	over := func(name string, base []byte, change func(f *craft.File)) hostile {
		f := &craft.File{Bytes: bytes.Clone(base)}
		change(f)
		return literal("polyglot: "+name, "multiple_formats", f.Bytes)
	}
	qcow2 := craft.NewQCOW2(qcow2V3).Fill(qcow2Guest).Bytes
	sparse := craft.SparseVMDK(vmdkGuest, craft.SparseDescriptor).Bytes
	vdi := func(f *craft.File) { f.Put32(0x40, 0xbeda107f) }
	mbr := func(f *craft.File) { f.Write(510, 0x55, 0xaa) }
	text := "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
	both := &craft.File{Bytes: bytes.Clone(rawGuest)}
	both.Text(0, text+strings.Repeat("#", 440-len(text)))
	return []hostile{
		over("qcow2 and MBR", qcow2, mbr),
		over("qcow2 and ISO", qcow2, func(f *craft.File) { f.Text(0x8001, "CD001") }),
		over("qcow2 and VDI", qcow2, vdi),
		over("VMDK and VDI", sparse, vdi),
		over("VMDK and MBR", sparse, mbr),
		over("VHDX and MBR", craft.NewVHDX(vhdxGuest).Bytes, mbr),
		literal("polyglot: text VMDK and MBR", "vmdk_text_descriptor", both.Bytes),
		rawCase("polyglot: ISO with a hybrid MBR", "format_iso", func(f *craft.File) { f.Text(0x8001, "CD001") }),
	}
}
