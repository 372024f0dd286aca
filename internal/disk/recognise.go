package disk

import (
	"bytes"
	"strings"

	"ingot/internal/disk/qcow2"
	"ingot/internal/disk/vdi"
	"ingot/internal/disk/vhdx"
	"ingot/internal/disk/vmdk"
	"ingot/internal/refusal"
)

// The formats that are read, by the names that qemu-img gives them.
const (
	Raw   = "raw"
	QCOW2 = "qcow2"
	VHDX  = "vhdx"
	VDI   = "vdi"
	VMDK  = "vmdk"
)

// HeadSize is how many bytes from the start of a file Recognise wants to see: the volume descriptors of ISO 9660 and
// UDF stand at 32 KiB.
const HeadSize = 64 << 10

// recognisers all run, so that a file that is two things at once is seen to be.
var recognisers = []struct {
	format string
	match  func(head []byte) bool
}{
	{QCOW2, qcow2.Match},
	{VHDX, vhdx.Match},
	{VDI, vdi.Match},
	{VMDK, vmdk.Match},
}

// foreign are kinds of file that are refused by name, with what to do instead.
var foreign = []struct {
	code, name string
	match      func(head []byte) bool
	advice     string
}{
	{"vhd", "a VHD (Virtual PC) disk", at(0, "conectix"), convert("vpc")},
	{"qed", "a QED disk", at(0, "QED\x00"), convert("qed")},
	{"parallels", "a Parallels disk", anyOf(at(0, "WithoutFreeSpace"), at(0, "WithouFreSpacExt")), convert("parallels")},
	{"bochs", "a Bochs disk", at(0, "Bochs Virtual HD Image"), convert("bochs")},
	{"cloop", "a cloop disk", at(0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"), convert("cloop")},
	{"qcow1", "a qcow disk of version 1", at(0, "QFI\xfb\x00\x00\x00\x01"), convert("qcow")},
	{"luks", "an encrypted LUKS container", at(0, "LUKS\xba\xbe"),
		"Nothing could boot from it without its key: post the disk image that was encrypted."},
	{"iso", "an ISO 9660 or UDF image (an installation medium)", anyOf(at(0x8001, "CD001"), at(0x8001, "BEA01"), at(0x8001, "NSR0")),
		"Install it on a virtual machine and post that machine's disk."},
	{"squashfs", "a squashfs file system", anyOf(at(0, "hsqs"), at(0, "sqsh")),
		"Post the image of a whole disk, with its partition table."},
	{"aff", "an AFF or EnCase forensic image", anyOf(at(0, "AFF10\r\n"), at(0, "EVF\x09\x0d\x0a\xff\x00")),
		"Export it as a raw image first."},
}

func convert(format string) string {
	return "Convert it: qemu-img convert -f " + format + " -O qcow2 INPUT OUTPUT.qcow2"
}

func at(off int, magic string) func([]byte) bool {
	return func(head []byte) bool {
		return len(head) >= off && bytes.HasPrefix(head[off:], []byte(magic))
	}
}

func anyOf(matches ...func([]byte) bool) func([]byte) bool {
	return func(head []byte) bool {
		for _, m := range matches {
			if m(head) {
				return true
			}
		}
		return false
	}
}

// bootSector reports whether the first sectors say partition table: what makes a raw file a disk, and what a file of
// another format never says of itself. A GPT header at 4096 (4 KiB sectors) does not count here: in a qcow2 file
// with small clusters it can be the guest's own data.
var bootSector = anyOf(at(510, "\x55\xaa"), at(512, "EFI PART"))

// Recognise names the format of a file from its first HeadSize bytes, fewer only where the file is shorter. It
// decides by content alone; what it does not know is raw, which raw.Check then judges. Its refusals: a file of
// two formats at once, and known kinds that are not read, by name.
func Recognise(head []byte) (string, error) {
	for _, f := range foreign {
		if f.code == "qcow1" && f.match(head) {
			return "", refuseForeign(f.code, f.name, f.advice)
		}
	}
	if r := vmdk.Foreign(head); r != nil {
		return "", r
	}
	var found []string
	for _, r := range recognisers {
		if r.match(head) {
			found = append(found, r.format)
		}
	}
	for _, f := range foreign {
		if !f.match(head) {
			continue
		}
		if len(found) == 0 {
			return "", refuseForeign(f.code, f.name, f.advice)
		}
		found = append(found, f.name)
	}
	if len(found) > 0 && bootSector(head) {
		found = append(found, "raw disk with a partition table")
	}
	if len(found) > 1 {
		return "", refusal.New("multiple_formats",
			"The file matches more than one format (%s), so what a guest would see depends on who reads it. Convert it with the format named: qemu-img convert -f FORMAT -O qcow2 INPUT OUTPUT.qcow2",
			strings.Join(found, ", "))
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return Raw, nil
}

func refuseForeign(code, name, advice string) error {
	return refusal.New("format_"+code, "The file is %s, which is not supported: raw, qcow2, VHDX, VDI and VMDK are. %s", name, advice)
}
