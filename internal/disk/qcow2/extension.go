package qcow2

import (
	"encoding/binary"
	"strings"

	"ingot/internal/refusal"
)

// Types of the specification's section "Header extensions". The others can be ignored.
const (
	extensionEnd           = 0
	extensionBackingFormat = 0xe2792aca
	extensionFeatureNames  = 0x6803f857
	extensionEncryption    = 0x0537be77
	extensionDataFile      = 0x44415441

	maxExtensions  = 256 // five are defined; each costs a read
	maxFeatureName = 46
	featureEntry   = 2 + maxFeatureName
)

// readExtensions refuses the extensions that lead out of the file and returns the names of incompatible features by
// bit, if the image has them.
func (h *header) readExtensions(src *source) (map[int]string, error) {
	var names map[int]string
	off := int64(h.length)
	for range maxExtensions {
		var b [8]byte
		if off+int64(len(b)) > h.clusterSize {
			break
		}
		if err := src.fill(b[:], off, "a header extension"); err != nil {
			return nil, err
		}
		kind, n := binary.BigEndian.Uint32(b[:]), int64(binary.BigEndian.Uint32(b[4:]))
		off += int64(len(b))
		if kind == extensionEnd {
			return names, nil
		}
		if n > h.clusterSize-off {
			break
		}
		if err := checkExtension(kind, n); err != nil {
			return nil, err
		}
		if kind == extensionFeatureNames {
			var err error
			if names, err = readFeatureNames(src, off, n); err != nil {
				return nil, err
			}
		}
		off += (n + 7) &^ 7
	}
	return nil, refusal.New("qcow2_header_extension", "The list of header extensions does not end before byte %d, within "+
		"the first cluster and %d extensions. %s", off, maxExtensions, adviceRepair)
}

func checkExtension(kind uint32, n int64) error {
	switch {
	case kind == extensionDataFile:
		return refuseDataFile()
	case kind == extensionEncryption:
		return refuseEncrypted()
	case kind == extensionBackingFormat && n > 0:
		return refusal.New("qcow2_backing_file", "The image names a backing file's format, but no backing file. %s", adviceConvert)
	}
	return nil
}

// readFeatureNames reads the feature name table's incompatible features.
func readFeatureNames(src *source, off, n int64) (map[int]string, error) {
	names := map[int]string{}
	const most = 3 * 64 // three bitmaps of 64 bits
	for i := range min(n/featureEntry, most) {
		var b [featureEntry]byte
		if err := src.fill(b[:], off+i*featureEntry, "the feature name table"); err != nil {
			return nil, err
		}
		if b[0] == 0 {
			names[int(b[1])] = strings.TrimRight(string(b[2:]), "\x00")
		}
	}
	return names, nil
}
