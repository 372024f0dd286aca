package decompress

import (
	"fmt"
	"strings"

	"ingot/internal/refusal"
)

// broken refuses a file that its decoder cannot go on with. Its code starts with the compression's name, which is the
// name of the tool too.
func broken(code, format string, args ...any) error {
	tool, _, _ := strings.Cut(code, "_")
	return refusal.New(code, "We had a problem decompressing your file. %s "+
		"Test it with %s -t where it was made; if it passes there, transfer it again, else compress it anew.",
		fmt.Sprintf(format, args...), tool)
}

func truncated(compression string, in, out int64) error {
	return broken(compression+"_truncated", "The %s data ends too early, after %d compressed bytes (%d decompressed).", compression, in, out)
}

func trailing(compression string, end int64) error {
	return refusal.New(compression+"_trailing_data", "We had a problem decompressing your file. "+
		"The %s data ends after %d bytes, and something else follows. Cut the file there: truncate -s %d disk.%s",
		compression, end, end, map[string]string{Gzip: "gz", Bzip2: "bz2"}[compression])
}

// sourceError passes on what the source failed with.
func sourceError(err error, at int64) error {
	return fmt.Errorf("reading the compressed file at byte %d: %w", at, err)
}

// tooLarge refuses what is not smaller than limit.
func tooLarge(limit int64, compression string) error {
	size := fmt.Sprintf("%d bytes", limit)
	if limit >= 1e9 && limit%1e9 == 0 {
		size = fmt.Sprintf("%d GB", limit/1e9)
	}
	after := " after being decompressed"
	if compression == None {
		after = ""
	}
	return refusal.New("image_too_large", "The image must be smaller than %s%s, and this file is not. "+
		"Shrink the disk, or leave its empty space out: qemu-img convert -O qcow2 disk.raw disk.qcow2", size, after)
}
