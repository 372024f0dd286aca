package image

import "time"

// The times that a link may be good for.
const (
	MinLinkTime     = time.Second
	MaxLinkTime     = 7 * 24 * time.Hour
	DefaultLinkTime = time.Hour
)

// LinkKey signs links to one image. A link is good as long as the key is there and the image belongs to Owner.
type LinkKey struct {
	Owner int64 // the account that has the image
	Key   []byte
}
