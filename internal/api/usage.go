package api

import (
	"context"
	"net/http"
	"strconv"

	"ingot/internal/image"
)

// Usage knows what an account's images hold of the stores.
type Usage interface {
	// Usage returns what all images of the account hold together, and one page of them, by id.
	Usage(ctx context.Context, account int64, p image.Page) (image.Usage, []image.ImageUsage, error)
}

func (a *API) getUsage(c *call) error {
	q := query(c.r)
	page := pageOf(q)
	total, images, err := a.catalog.Usage(c.ctx(), c.token.AccountID, page)
	if err != nil {
		return err
	}
	b := append(c.buffer(), `{"usage":{"account":{`...)
	b = appendUsage(b, &total)
	b = append(b, `,"images":`...)
	b = strconv.AppendInt(b, total.Images, 10)
	b = append(b, `},"images":[`...)
	for i := range images {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"image_id":`...)
		b = strconv.AppendInt(b, images[i].ID, 10)
		b = append(b, `,"name":`...)
		b = append(appendString(b, images[i].Name), ',')
		b = append(appendUsage(b, &images[i].Usage), '}')
	}
	return c.json(http.StatusOK, c.pageLinks(q).append(append(b, `]}`...), page, total.Images))
}

func appendUsage(b []byte, u *image.Usage) []byte {
	b = append(b, `"logical_bytes":`...)
	b = strconv.AppendInt(b, u.Logical, 10)
	b = append(b, `,"stored_bytes":`...)
	b = strconv.AppendInt(b, u.Stored, 10)
	b = append(b, `,"shared_bytes":`...)
	return strconv.AppendInt(b, u.Shared, 10)
}
