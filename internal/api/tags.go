package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"ingot/internal/image"
)

// Tags knows the tags of an account. A name is found in any capitals.
type Tags interface {
	CreateTag(ctx context.Context, account int64, name string) (image.Tag, error)
	Tag(ctx context.Context, account int64, name string) (image.Tag, error)
	ListTags(ctx context.Context, account int64, p image.Page) ([]image.Tag, int64, error)
	DeleteTag(ctx context.Context, account int64, name string) error
}

// Tagging puts tags on images and takes them off, all or none of those that are named.
type Tagging interface {
	TagImages(ctx context.Context, account int64, tag string, images []int64) error
	UntagImages(ctx context.Context, account int64, tag string, images []int64) error
}

func (a *API) createTag(c *call) error {
	f, err := c.form()
	if err != nil {
		return err
	}
	name := f.text("name")
	if f.problem != nil {
		return f.problem
	}
	if err := image.ValidateTag("name", name); err != nil {
		return err
	}
	tag, err := a.catalog.CreateTag(c.ctx(), c.token.AccountID, name)
	if err != nil {
		return err
	}
	return c.tag(http.StatusCreated, tag)
}

func (a *API) listTags(c *call) error {
	q := query(c.r)
	page := pageOf(q)
	tags, total, err := a.catalog.ListTags(c.ctx(), c.token.AccountID, page)
	if err != nil {
		return err
	}
	return list(c, "tags", q, page, tags, total, appendTag)
}

// tagName is the tag in the path. One that no tag can have need not be looked for.
func (c *call) tagName() (string, error) {
	name := c.r.PathValue("name")
	if image.ValidateTag("name", name) != nil {
		return "", image.ErrNotFound
	}
	return name, nil
}

func (a *API) getTag(c *call) error {
	name, err := c.tagName()
	if err != nil {
		return err
	}
	tag, err := a.catalog.Tag(c.ctx(), c.token.AccountID, name)
	if err != nil {
		return err
	}
	return c.tag(http.StatusOK, tag)
}

func (a *API) deleteTag(c *call) error {
	name, err := c.tagName()
	if err != nil {
		return err
	}
	// A tag of a million images takes minutes, and the deadlines of a short answer would end it half-way. A writer
	// without deadlines is a test's.
	control := http.NewResponseController(c)
	_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})
	if err := a.catalog.DeleteTag(c.ctx(), c.token.AccountID, name); err != nil {
		return err
	}
	c.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) tagImages(c *call) error { return c.tagging(a.catalog.TagImages) }

func (a *API) untagImages(c *call) error { return c.tagging(a.catalog.UntagImages) }

func (c *call) tagging(do func(ctx context.Context, account int64, tag string, images []int64) error) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	images, err := parseResources(body)
	if err != nil {
		return err
	}
	name, err := c.tagName()
	if err != nil {
		return err
	}
	if err := do(c.ctx(), c.token.AccountID, name, images); err != nil {
		return err
	}
	c.WriteHeader(http.StatusNoContent)
	return nil
}

// parseResources reads which images a body names: {"resources":[{"resource_id":"7555620","resource_type":"image"}]}.
func parseResources(body []byte) ([]int64, error) {
	f, err := parseForm(body)
	if err != nil {
		return nil, err
	}
	resources := f.objects("resources")
	switch {
	case f.problem != nil:
		return nil, f.problem
	case len(resources) == 0:
		return nil, unprocessable("resources is required: which images are meant.")
	case len(resources) > image.MaxTagResources:
		return nil, unprocessable("resources holds " + strconv.Itoa(len(resources)) + " entries; at most " + strconv.Itoa(image.MaxTagResources) + " will do.")
	}
	var images []int64
	for _, r := range resources {
		kind, id := r.text("resource_type"), r.text("resource_id")
		if r.problem != nil {
			return nil, r.problem
		}
		if kind != "image" {
			return nil, unprocessable("resource_type must be image: there is nothing else here.")
		}
		image, err := parseID(id)
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}

// tag answers one tag.
func (c *call) tag(status int, t image.Tag) error {
	b := appendTag(append(c.buffer(), `{"tag":`...), &t)
	return c.json(status, append(b, '}'))
}

// appendTag appends a tag. The kinds that are not here have a place as well: two clients fail without it.
func appendTag(b []byte, t *image.Tag) []byte {
	b = append(b, `{"name":`...)
	b = appendString(b, t.Name)
	b = append(b, `,"resources":{"count":`...)
	b = strconv.AppendInt(b, t.Images, 10)
	b = append(b, `,"droplets":{"count":0},"images":{"count":`...)
	b = strconv.AppendInt(b, t.Images, 10)
	return append(b, `},"volumes":{"count":0},"volume_snapshots":{"count":0},"databases":{"count":0}}}`...)
}
