package vmdk

import (
	"bytes"
	"strconv"
	"strings"

	"ingot/internal/refusal"
)

// descriptor is what the text of an embedded descriptor says ("The Descriptor File"). Nothing it names is ever
// opened; it is parsed so that a disk with a part elsewhere is refused.
type descriptor struct {
	createType string
	parentCID  string
	hint       bool // it names a parent
	encrypted  bool
	extents    []extent
}

// extent is one extent line: `RW 8192 SPARSE "disk.vmdk"`.
type extent struct {
	access  string
	sectors int64
	kind    string
	name    string
}

// maxExtents bounds the list; one is accepted, the rest is for the message.
const maxExtents = 64

// parseDescriptor reads the text up to its first NUL. Every line is blank, a comment, an extent, or key=value.
func parseDescriptor(text []byte) (descriptor, error) {
	var d descriptor
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	for raw := range bytes.SplitSeq(text, []byte("\n")) {
		line := strings.Trim(string(raw), " \t\r")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' }) {
			return d, malformed(line)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if err := d.add(line); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *descriptor) add(line string) error {
	// By fields, as other readers do: a tab must not hide an extent.
	switch strings.ToUpper(fields(line)[0]) {
	case "RW", "RDONLY", "NOACCESS":
		e, ok := parseExtent(line)
		if !ok || len(d.extents) == maxExtents {
			return malformed(line)
		}
		d.extents = append(d.extents, e)
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return malformed(line)
	}
	return d.set(strings.ToLower(strings.Trim(key, " \t")), strings.Trim(value, " \t\""), line)
}

// fields splits at blanks and tabs; other kinds of white space are part of a word.
func fields(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
}

// set keeps the keys that say where the disk's parts are. Two of a kind would be read differently by different
// readers.
func (d *descriptor) set(key, value, line string) error {
	switch {
	case key == "createtype" && d.createType == "" && value != "":
		d.createType = value
	case key == "parentcid" && d.parentCID == "" && value != "":
		d.parentCID = value
	case key == "createtype" || key == "parentcid":
		return malformed(line)
	case key == "parentfilenamehint":
		d.hint = true
	case strings.HasPrefix(key, "encryption."):
		d.encrypted = true
	}
	return nil
}

// parseExtent reads `ACCESS SECTORS TYPE "NAME" [OFFSET]`; the offset of a sparse extent is left out or 0.
func parseExtent(line string) (extent, bool) {
	front, quoted, _ := strings.Cut(line, "\"")
	name, rest, ok := strings.Cut(quoted, "\"")
	words := fields(front)
	rest = strings.Trim(rest, " \t")
	if !ok || len(words) != 3 || rest != "" && rest != "0" {
		return extent{}, false
	}
	n, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || n < 0 {
		return extent{}, false
	}
	return extent{access: strings.ToUpper(words[0]), sectors: n, kind: strings.ToUpper(words[2]), name: name}, true
}

// check refuses every disk that is not wholly in the file it was found in.
func (d descriptor) check(h header) error {
	switch {
	case d.hint || !strings.EqualFold(d.parentCID, "ffffffff"):
		return refusal.New("vmdk_parent", "The VMDK is a difference to a parent image, which is never opened. Make it "+
			"whole first: consolidate the machine's snapshots, or run `qemu-img convert -O qcow2 disk.vmdk disk.qcow2` "+
			"where all its files are.")
	case d.encrypted:
		return refusal.New("vmdk_encrypted", "The VMDK is encrypted. Remove the encryption in VMware, then export it again.")
	case len(d.extents) == 1 && d.extents[0].kind == "SPARSE":
	default:
		return refusal.New("vmdk_extents", "The VMDK's descriptor lists %s; one sparse extent, in the file itself, is read. %s",
			d.list(), convert)
	}
	if err := d.checkType(h); err != nil {
		return err
	}
	return d.extents[0].check(h)
}

func (d descriptor) checkType(h header) error {
	want := "monolithicSparse"
	if h.compressed() {
		want = "streamOptimized"
	}
	if strings.EqualFold(d.createType, want) {
		return nil
	}
	return refusal.New("vmdk_create_type", "The VMDK says that it is of type %q, but its header is that of a %s disk; "+
		"monolithicSparse and streamOptimized are read. %s", shorten(d.createType), want, convert)
}

// check wants the extent to be the header's disk. VirtualBox rounds the header's capacity up to whole grains, so it may
// be the larger by less than one.
func (e extent) check(h header) error {
	if e.access == "NOACCESS" {
		return refusal.New("vmdk_extents", "The VMDK's descriptor says that its extent must not be accessed. %s", convert)
	}
	if strings.ContainsAny(e.name, `/\:`) || e.name == ".." {
		return refusal.New("vmdk_extents", "The VMDK's descriptor names a file elsewhere as its extent, which is never "+
			"opened. %s", convert)
	}
	if e.sectors > h.capacity || h.capacity-e.sectors >= h.grain {
		return damaged("vmdk_extent_size", "its descriptor says %d sectors, its header %d", e.sectors, h.capacity)
	}
	return nil
}

// list names the extents' kinds for a message, never the files.
func (d descriptor) list() string {
	if len(d.extents) == 0 {
		return "no extent"
	}
	if len(d.extents) > 1 {
		return strconv.Itoa(len(d.extents)) + " extents"
	}
	return "an extent of type " + shorten(d.extents[0].kind)
}

func malformed(line string) error {
	return refusal.New("vmdk_descriptor", "The VMDK's descriptor has a line that cannot be read: %q. %s", shorten(line), convert)
}

// shorten keeps a hostile descriptor from filling a message.
func shorten(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
