package upload

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/tus/tusd/v2/pkg/handler"
)

// The extension "checksum" of the protocol: a request's body hashes to what its header says, or none of it is kept.
// SHA-1 is there because the protocol asks for it; it finds what was damaged by chance.

// statusMismatch is the protocol's own: https://tus.io/protocols/resumable-upload, "Checksum".
const statusMismatch = 460

func algorithms() []string { return []string{"sha1", "sha256", "sha512"} }

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	case "sha512":
		return sha512.New()
	}
	return nil
}

type checksum struct {
	algorithm string
	want      []byte
	hash      hash.Hash
}

// parseChecksum reads "sha1 BASE64"; nil for no header.
func parseChecksum(header string) (*checksum, error) {
	if header == "" {
		return nil, nil
	}
	algorithm, sum, _ := strings.Cut(header, " ")
	c := &checksum{algorithm: algorithm, hash: newHash(algorithm)}
	if c.hash == nil {
		return nil, handler.NewError("ERR_CHECKSUM_ALGORITHM", "Upload-Checksum names an algorithm that is not known; "+
			strings.Join(algorithms(), ", ")+" will do.", http.StatusBadRequest)
	}
	var err error
	if c.want, err = base64.StdEncoding.DecodeString(sum); err != nil || len(c.want) != c.hash.Size() {
		return nil, handler.NewError("ERR_CHECKSUM", "Upload-Checksum is malformed: the algorithm, a space, and the sum in Base64.", http.StatusBadRequest)
	}
	return c, nil
}

func (c *checksum) matches() bool { return bytes.Equal(c.hash.Sum(nil), c.want) }

func (c *checksum) mismatch() error {
	return handler.NewError("ERR_CHECKSUM_MISMATCH", "The body has another "+c.algorithm+" than Upload-Checksum says. None of it was kept; send it again.", statusMismatch)
}

// uncheckedPath is a file that is there while a body is written that has not been checked; it holds where that began.
func (u *Uploads) uncheckedPath(id string) string { return u.path(id) + ".check" }

func (u *Uploads) noteUnchecked(id string, offset int64) error {
	return os.WriteFile(u.uncheckedPath(id), []byte(strconv.FormatInt(offset, 10)), 0o600)
}

// dropUnchecked takes back what was written and not checked, by this process or by one that has ended.
func (u *Uploads) dropUnchecked(id string) error {
	text, err := os.ReadFile(u.uncheckedPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(text) > 0 { // empty: nothing had been written when the process ended
		offset, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return fmt.Errorf("upload %s: %w", id, err)
		}
		if err := os.Truncate(u.path(id), offset); err != nil {
			return err
		}
	}
	return os.Remove(u.uncheckedPath(id))
}
