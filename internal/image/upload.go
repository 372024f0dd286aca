package image

import (
	"net/url"
	"strings"
	"time"
)

// Limits of uploads.
const (
	UploadTime = 24 * time.Hour // from its last byte on, or its last use, an upload is kept so long
	MaxUploads = 100            // of one account at a time
)

// Upload is a file that a client sends in pieces.
type Upload struct {
	ID        string // 32 hexadecimal digits
	AccountID int64
	Size      int64 // bytes, as it was announced
	Complete  bool  // all of them have arrived
	ExpiresAt time.Time
}

// UploadID returns the upload that an image's URL names, as upload:ID, and whether it names one.
func UploadID(rawURL string) (id string, ok bool) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "upload" {
		return "", false
	}
	return u.Opaque, IsUploadID(u.Opaque) && u.RawQuery == ""
}

// IsUploadID tells the ids that uploads have.
func IsUploadID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
