package vmdk

import (
	"bytes"
	"strings"

	"ingot/internal/refusal"
)

// Foreign returns the refusal of a VMDK that is not read by Open and does not look like one to Match: a text descriptor
// (the file that names a disk's other files), an ESX sparse extent (COWD) and a seSparse extent. It returns nil for
// anything else. head is the file's beginning; a descriptor is found behind blank lines and comments as far as head
// reaches, so 4 KiB or more are wanted.
func Foreign(head []byte) *refusal.Error {
	switch {
	case bytes.HasPrefix(head, []byte("COWD")):
		return refusal.New("vmdk_cowd", "The file is an ESX copy-on-write extent (vmfsSparse), a difference to a parent "+
			"disk. Consolidate the machine's snapshots, then run `vmkfstools -i disk.vmdk -d thin whole.vmdk` or export "+
			"with ovftool.")
	case bytes.HasPrefix(head, []byte("\xbe\xba\xfe\xca\x00\x00\x00\x00")):
		return refusal.New("vmdk_sesparse", "The file is a space-efficient sparse (seSparse) extent, one part of a disk on "+
			"ESX. Consolidate the machine's snapshots, then run `vmkfstools -i disk.vmdk -d thin whole.vmdk` or export "+
			"with ovftool.")
	case isDescriptor(head):
		return refusal.New("vmdk_text_descriptor", "The file is the text descriptor of a VMDK: it only names the files that "+
			"hold the disk, and those are never opened. %s", convert)
	}
	return nil
}

// isDescriptor finds the text wherever another reader would: after a byte order mark, blank lines and comments,
// whatever the case and the ends of lines.
func isDescriptor(head []byte) bool {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for len(head) > 0 {
		end := bytes.IndexAny(head, "\r\n")
		if end < 0 {
			end = len(head)
		}
		line := strings.ToLower(strings.Trim(string(head[:min(end, 256)]), " \t"))
		head = head[min(end+1, len(head)):]
		if line == "" || line[0] == '#' && !isTitle(line) {
			continue
		}
		return isTitle(line) || isOpening(line)
	}
	return false
}

func isTitle(line string) bool {
	return strings.HasPrefix(strings.TrimLeft(line, "# \t"), "disk descriptorfile")
}

// isOpening reports whether a line is one that a descriptor without its title begins with.
func isOpening(line string) bool {
	key, _, ok := strings.Cut(line, "=")
	if !ok {
		return false
	}
	switch strings.TrimRight(key, " \t") {
	case "version", "encoding", "cid", "parentcid", "createtype", "isnativesnapshot", "parentfilenamehint":
		return true
	}
	return false
}
