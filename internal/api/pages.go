package api

import (
	"math"
	"net/http"
	"net/url"
	"strconv"

	"ingot/internal/image"
)

const (
	defaultPageSize = 20
	maxPageSize     = 200
	maxPageNumber   = math.MaxInt32 // times the page size it is still far from the end of an int64
)

// pageOf reads the page that a query asks for. What is out of range is moved to the nearest that is not; what is no
// number counts as absent.
func pageOf(q url.Values) image.Page {
	return image.Page{
		Number: clamped(q.Get("page"), 1, maxPageNumber, 1),
		Size:   clamped(q.Get("per_page"), 1, maxPageSize, defaultPageSize),
	}
}

func clamped(s string, low, high, absent int) int {
	if s == "" {
		return absent
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil && n != math.MaxInt64 && n != math.MinInt64 {
		return absent
	}
	return int(min(max(n, int64(low)), int64(high)))
}

// pageLinks makes the links of a page: absolute, and with every other key of the query kept.
type pageLinks struct {
	base  string
	query url.Values
}

func (c *call) pageLinks(query url.Values) pageLinks {
	return pageLinks{c.origin() + c.r.URL.EscapedPath(), query}
}

// origin is what the service's own links begin with. X-Forwarded-… are not looked at: anybody can send them.
func (c *call) origin() string {
	if c.api.publicURL != "" {
		return c.api.publicURL
	}
	host := c.r.Host
	if host == "" {
		host = "localhost" // HTTP/1.0 need not say
	}
	if c.r.TLS != nil {
		return "https://" + host
	}
	return "http://" + host
}

// append appends the end of a list's answer: links with the keys that make sense, and the total. One client follows
// a key for as long as it is there, so a key that makes no sense must not be.
func (l pageLinks) append(b []byte, p image.Page, total int64) []byte {
	last := max(1, (total+int64(p.Size)-1)/int64(p.Size))
	number := int64(p.Number)
	b = append(b, `,"links":{`...)
	if number > 1 || last > 1 {
		b = append(b, `"pages":{`...)
		if number > 1 {
			b = l.appendLink(b, "first", 1)
			b = l.appendLink(append(b, ','), "prev", min(number-1, last))
		}
		if number > 1 && number < last {
			b = append(b, ',')
		}
		if number < last {
			b = l.appendLink(b, "next", number+1)
			b = l.appendLink(append(b, ','), "last", last)
		}
		b = append(b, '}')
	}
	b = append(b, `},"meta":{"total":`...)
	b = strconv.AppendInt(b, total, 10)
	return append(b, `}}`...)
}

func (l pageLinks) appendLink(b []byte, name string, number int64) []byte {
	l.query.Set("page", strconv.FormatInt(number, 10))
	b = append(append(append(b, '"'), name...), `":`...)
	return appendString(b, l.base+"?"+l.query.Encode())
}

// query parses the request's query; pairs that are malformed are left out.
func query(r *http.Request) url.Values {
	if r.URL.RawQuery == "" {
		return url.Values{}
	}
	return r.URL.Query()
}

// list answers a page of a list.
func list[T any](c *call, key string, q url.Values, p image.Page, items []T, total int64, appendItem func([]byte, *T) []byte) error {
	b := append(append(append(c.buffer(), `{"`...), key...), `":[`...)
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendItem(b, &items[i])
	}
	return c.json(http.StatusOK, c.pageLinks(q).append(append(b, ']'), p, total))
}
