package api

import (
	"strconv"

	"ingot/internal/image"
)

// regionFeatures is what the original says of its regions. No client of images asks for one of them; some look
// whether the list is there.
const regionFeatures = `["private_networking","backups","ipv6","metadata","install_agent","storage","image_transfer"]`

func (a *API) listRegions(c *call) error {
	q := query(c.r)
	page := pageOf(q)
	total := len(a.regions)
	first := min((page.Number-1)*page.Size, total)
	part := a.regions[first:min(first+page.Size, total)]
	return list(c, "regions", q, page, part, int64(total), appendRegion)
}

func appendRegion(b []byte, r *image.Region) []byte { return appendRegionAs(b, *r, true) }

// appendRegionOf appends a region by its slug: one that the service has no more is not available.
func (a *API) appendRegionOf(b []byte, slug string) []byte {
	for i := range a.regions {
		if a.regions[i].Slug == slug {
			return appendRegion(b, &a.regions[i])
		}
	}
	return appendRegionAs(b, image.Region{Slug: slug, Name: slug}, false)
}

func appendRegionAs(b []byte, r image.Region, available bool) []byte {
	b = append(b, `{"name":`...)
	b = appendString(b, r.Name)
	b = append(b, `,"slug":`...)
	b = appendString(b, r.Slug)
	b = append(b, `,"features":`+regionFeatures+`,"available":`...)
	b = strconv.AppendBool(b, available)
	return append(b, `,"sizes":[]}`...)
}
