package source

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strings"

	"ingot/internal/refusal"
)

// checksum is what a URL's fragment says the file's bytes, as they are served, hash to.
type checksum struct {
	name string // "sha256" or "sha512"
	sum  string // lower-case hexadecimal
	hash hash.Hash
}

// parseChecksum reads "sha256=HEX" or "sha512=HEX". Any other fragment is refused: somebody who wrote #md5=... believes
// that it is checked.
func parseChecksum(fragment string) (*checksum, error) {
	if fragment == "" {
		return nil, nil
	}
	name, sum, _ := strings.Cut(fragment, "=")
	c := &checksum{name: strings.ToLower(name), sum: strings.ToLower(sum)}
	switch c.name {
	case "sha256":
		c.hash = sha256.New()
	case "sha512":
		c.hash = sha512.New()
	default:
		return nil, refusal.New("url_checksum", "The part of the URL after # must be a checksum: #sha256= or #sha512= and its hexadecimal digits.")
	}
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != c.hash.Size() {
		return nil, refusal.New("url_checksum", "The checksum at the end of the URL must have %d hexadecimal digits after #%s=. "+
			"Copy it from the output of %ssum.", 2*c.hash.Size(), c.name, c.name)
	}
	return c, nil
}

// check compares the sum of what was read with the one that was wanted.
func (c *checksum) check() error {
	got := hex.EncodeToString(c.hash.Sum(nil))
	if got == c.sum {
		return nil
	}
	return refusal.New("source_checksum", "The file at the URL has the %s %s, and the URL asks for %s. "+
		"Check that it is the right file and that the checksum is of the file as it is served (still compressed).",
		c.name, got, c.sum)
}
