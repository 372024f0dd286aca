package raw

import (
	"bytes"
	"unicode/utf8"
)

const (
	adviceLink = "Use the direct link to the image file, and check with `curl -IL URL` that it needs no login and has not " +
		"expired."
	adviceWhole = "Post the image of a whole disk: with its partition table and boot loader."
	adviceDisk  = "Post a raw disk with a partition table, or a qcow2, VHDX, VDI or VMDK image; gzip and bzip2 are undone."
)

// kinds are what people post in place of a disk, first match first.
var kinds = []struct {
	name   string
	match  func(head []byte) bool
	advice string
}{
	{"a web page (HTML)", isHTML, adviceLink},
	{"an XML document, such as a server's error message", startsWith("<?xml", "<error", "<Error"), adviceLink},
	{"a JSON document, such as a server's error message", isJSON, adviceLink},
	{"text", isText, adviceLink},
	{"nothing but zeros", allZeros, "If this is a disk, its beginning was lost: make the image again. " + adviceDisk},
	{"an ext2, ext3 or ext4 file system without a disk around it", contains(0x438, "\x53\xef"), adviceWhole},
	{"an XFS file system without a disk around it", contains(0, "XFSB"), adviceWhole},
	{"an LVM physical volume", contains(512, "LABELONE"), adviceWhole},
	{"zlib data, as at the beginning of an Apple disk image (DMG)", startsWith("\x78\xda", "\x78\x9c"),
		"If it is one: qemu-img convert -f dmg -O qcow2 INPUT OUTPUT.qcow2"},
	{"a program (ELF)", contains(0, "\x7fELF"), adviceDisk},
	{"a PDF document", contains(0, "%PDF-"), adviceLink},
}

// guess names what a file without a partition table looks like, and what would do.
func guess(head []byte) (name, advice string) {
	if len(head) > 0 {
		for _, k := range kinds {
			if k.match(head) {
				return k.name, k.advice
			}
		}
	}
	if len(head) < sectorSize {
		return "a file that was cut off: it is shorter than a sector", adviceLink
	}
	return "data of another kind", adviceDisk
}

func contains(at int, magic string) func([]byte) bool {
	return func(head []byte) bool { return has(head, at, magic) }
}

// visible is the beginning without byte order mark and white space.
func visible(head []byte) []byte {
	head = bytes.TrimPrefix(head[:min(len(head), 1024)], []byte("\xef\xbb\xbf"))
	return bytes.TrimLeft(head, " \t\r\n")
}

func startsWith(prefixes ...string) func([]byte) bool {
	return func(head []byte) bool {
		for _, p := range prefixes {
			if bytes.HasPrefix(visible(head), []byte(p)) {
				return true
			}
		}
		return false
	}
}

func isHTML(head []byte) bool {
	return startsWith("<!doctype html", "<html", "<head", "<body")(bytes.ToLower(visible(head)))
}

func isJSON(head []byte) bool {
	return startsWith("{", "[")(head) && isText(head)
}

// isText wants a beginning without control characters in UTF-8, of which the last character may be cut.
func isText(head []byte) bool {
	head = head[:min(len(head), sectorSize)]
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 && (len(head) >= utf8.UTFMax || utf8.FullRune(head)) {
			return false
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != '\x1b' {
			return false
		}
		head = head[n:]
	}
	return true
}

func allZeros(head []byte) bool { return isZero(head) }
