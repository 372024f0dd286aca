package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"ingot/internal/image"
)

// ImageReader reads images as an account sees them: another account's private image does not exist.
type ImageReader interface {
	Image(ctx context.Context, account, id int64) (image.Image, error)
	ImageBySlug(ctx context.Context, account int64, slug string) (image.Image, error)
	ListImages(ctx context.Context, account int64, f image.Filter, p image.Page) ([]image.Image, int64, error)
}

// ImageWriter changes an account's images. What it did before it returned is seen by every later read.
type ImageWriter interface {
	CreateImage(ctx context.Context, account int64, in image.Create, key image.IdempotencyKey) (image.Image, error)
	UpdateImage(ctx context.Context, account, id int64, u image.Update) (image.Image, error)
	DeleteImage(ctx context.Context, account, id int64) error
}

func (a *API) createImage(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	in, err := parseCreate(body)
	if err != nil {
		return err
	}
	if len(in.Tags) > 0 {
		if err := c.need("tag:create"); err != nil {
			return err
		}
	}
	if err := in.Validate(a.regions); err != nil {
		return err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	m, err := a.catalog.CreateImage(c.ctx(), c.token.AccountID, in, image.IdempotencyKey{Key: key, BodyHash: sha256.Sum256(body)})
	if err != nil {
		return err
	}
	a.wake()
	return c.image(http.StatusAccepted, &m)
}

func parseCreate(body []byte) (image.Create, error) {
	f, err := parseForm(body)
	if err != nil {
		return image.Create{}, err
	}
	in := image.Create{
		Name:         f.text("name"),
		URL:          f.text("url"),
		Distribution: f.text("distribution"),
		Region:       f.text("region"),
		Description:  f.text("description"),
		Tags:         f.texts("tags"),
	}
	return in, f.problem
}

// getImage answers an id or the slug of a public image.
func (a *API) getImage(c *call) error {
	m, err := a.find(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.image(http.StatusOK, &m)
}

func (a *API) find(c *call, s string) (image.Image, error) {
	if id, err := parseID(s); err == nil {
		return a.catalog.Image(c.ctx(), c.token.AccountID, id)
	}
	if image.IsSlug(s) {
		return a.catalog.ImageBySlug(c.ctx(), c.token.AccountID, s)
	}
	return image.Image{}, image.ErrNotFound
}

// imageID is the id in the path. An image cannot be there under a number that JSON cannot carry, so there is no need
// to ask.
func (c *call) imageID() (int64, error) { return parseID(c.r.PathValue("id")) }

func parseID(s string) (int64, error) {
	id, err := strconv.ParseUint(s, 10, 63)
	if err != nil || id == 0 || id > image.MaxID {
		return 0, image.ErrNotFound
	}
	return int64(id), nil
}

func (a *API) updateImage(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	u, err := parseUpdate(body)
	if err != nil {
		return err
	}
	id, err := c.imageID()
	if err != nil {
		return err
	}
	m, err := a.catalog.UpdateImage(c.ctx(), c.token.AccountID, id, u)
	if err != nil {
		return err
	}
	return c.image(http.StatusOK, &m)
}

func parseUpdate(body []byte) (image.Update, error) {
	f, err := parseForm(body)
	if err != nil {
		return image.Update{}, err
	}
	u := image.Update{
		Name:         f.cleared("name"), // null is no name, and refused as an empty one
		Distribution: f.optional("distribution"),
		Description:  f.cleared("description"),
	}
	if f.problem != nil {
		return u, f.problem
	}
	return u, u.Validate()
}

func (a *API) deleteImage(c *call) error {
	id, err := c.imageID()
	if err != nil {
		return err
	}
	if err := a.catalog.DeleteImage(c.ctx(), c.token.AccountID, id); err != nil {
		return err
	}
	a.wake()
	c.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) listImages(c *call) error {
	q := query(c.r)
	page := pageOf(q)
	filter, possible, err := filterOf(q)
	if err != nil {
		return err
	}
	var images []image.Image
	var total int64
	if possible {
		images, total, err = a.catalog.ListImages(c.ctx(), c.token.AccountID, filter, page)
	}
	if err != nil {
		return err
	}
	return list(c, "images", q, page, images, total, appendImage)
}

// filterOf reads a query's filters. They are not possible where no image can pass them.
func filterOf(q url.Values) (f image.Filter, possible bool, err error) {
	switch kind := q.Get("type"); kind {
	case "", image.KindDistribution, image.KindApplication:
		f.Kind = kind
	default:
		return f, false, unprocessable("type must be distribution or application.")
	}
	switch strings.ToLower(q.Get("private")) {
	case "true", "1":
		f.Private = true
	case "", "false", "0":
	default:
		return f, false, unprocessable("private must be true or false.")
	}
	f.Tag = q.Get("tag_name")
	return f, f.Tag == "" || image.ValidateTag("tag_name", f.Tag) == nil, nil
}

// image answers one image.
func (c *call) image(status int, m *image.Image) error {
	b := appendImage(append(c.buffer(), `{"image":`...), m)
	return c.json(status, append(b, '}'))
}
