package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ingot/internal/image"
)

// Links knows the keys that sign links to images.
type Links interface {
	// MakeLinkKey returns the key of an image that the account sees, and makes it if there is none; an error where
	// the image has no content.
	MakeLinkKey(ctx context.Context, account, id int64) (image.LinkKey, error)
	// LinkKey returns the key of an image; image.ErrNotFound where it has none (any more).
	LinkKey(ctx context.Context, id int64) (image.LinkKey, error)
}

// link is what is signed: one image in one format, read until a moment, as its owner reads it.
type link struct {
	image   int64
	format  string
	expires int64 // Unix time in seconds
}

// sign returns the signature. The owner is part of it, so that a link ends when the image changes hands.
func (l link) sign(k image.LinkKey) string {
	mac := hmac.New(sha256.New, k.Key)
	fmt.Fprintf(mac, "ingot link 1\n%d\n%d\n%s\n%d\n", l.image, k.Owner, l.format, l.expires)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// createLink answers a URL by which an image can be read without a token.
func (a *API) createLink(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	l, err := parseLink(body, c.started)
	if err != nil {
		return err
	}
	if l.image, err = c.imageID(); err != nil {
		return err
	}
	key, err := a.catalog.MakeLinkKey(c.ctx(), c.token.AccountID, l.image)
	if err != nil {
		return err
	}
	q := url.Values{"format": {l.format}, "expires": {strconv.FormatInt(l.expires, 10)}, "signature": {l.sign(key)}}
	b := append(c.buffer(), `{"link":{"url":`...)
	b = appendString(b, fmt.Sprintf("%s/v2/images/%d/file?%s", c.origin(), l.image, q.Encode()))
	b = append(b, `,"expires_at":`...)
	b = appendTime(b, time.Unix(l.expires, 0))
	return c.json(http.StatusCreated, append(b, `}}`...))
}

func parseLink(body []byte, now time.Time) (link, error) {
	f, err := parseForm(body)
	if err != nil {
		return link{}, err
	}
	format := f.text("format")
	seconds := f.integer("expires_in", int64(image.DefaultLinkTime/time.Second))
	if f.problem != nil {
		return link{}, f.problem
	}
	if seconds < int64(image.MinLinkTime/time.Second) || seconds > int64(image.MaxLinkTime/time.Second) {
		return link{}, unprocessable(fmt.Sprintf("expires_in must be a number of seconds from %d to %d.",
			image.MinLinkTime/time.Second, image.MaxLinkTime/time.Second))
	}
	format, err = knownFormat(format)
	return link{format: format, expires: now.Unix() + seconds}, err
}

var errBadLink = &problem{http.StatusForbidden, "forbidden",
	"The link is not valid: it was altered, or its image is no longer there. Ask for a new link.", 0}

// hasLink says whether the request relies on a signature in the query. A token comes before it.
func (c *call) hasLink() bool {
	return c.r.Header.Get("Authorization") == "" && query(c.r).Has("signature")
}

// followLink admits a request with a signed link. What is wrong with the signature and what does not exist have one
// answer, and only who has a good signature learns that it is too late.
func (c *call) followLink() error {
	q := query(c.r)
	id, err := c.imageID()
	expires, badTime := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil || badTime != nil {
		return errBadLink
	}
	key, err := c.api.catalog.LinkKey(c.ctx(), id)
	if image.KindOf(err) == image.NotFound {
		return errBadLink
	}
	if err != nil {
		return err
	}
	l := link{id, q.Get("format"), expires}
	if !hmac.Equal([]byte(l.sign(key)), []byte(q.Get("signature"))) {
		return errBadLink
	}
	if c.started.Unix() >= expires {
		return &problem{http.StatusForbidden, "forbidden", fmt.Sprintf("The link expired at %s. Ask for a new link.",
			time.Unix(expires, 0).UTC().Format(time.RFC3339)), 0}
	}
	c.token = image.Token{AccountID: key.Owner}
	return nil
}
