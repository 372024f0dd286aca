package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// part is what of a file an answer holds.
type part struct {
	start, length, size int64
	partial             bool // 206, not 200
}

// part reads the Range header (RFC 9110, section 14.2). Another unit than bytes, or an If-Range that names another
// file, means the whole. Several ranges at once are refused: no hypervisor asks for them, and a multipart answer is
// no file.
func (c *call) part(tag string, size int64) (part, error) {
	whole := part{0, size, size, false}
	spec, isBytes := strings.CutPrefix(strings.TrimSpace(c.r.Header.Get("Range")), "bytes=")
	if !isBytes || c.r.Method != http.MethodGet { // for HEAD a range has no meaning
		return whole, nil
	}
	if cond := c.r.Header.Get("If-Range"); cond != "" && cond != tag {
		return whole, nil
	}
	if strings.Contains(spec, ",") {
		return whole, c.badRange(size, "One range at a time: several in one request are not served.")
	}
	start, length, ok := parseRange(spec, size)
	if !ok {
		return whole, c.badRange(size, fmt.Sprintf("The range lies outside the file, which has %d bytes, or is malformed; bytes=0-1023 is the form that will do.", size))
	}
	return part{start, length, size, true}, nil
}

func (c *call) badRange(size int64, message string) error {
	c.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
	return &problem{http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable", message, 0}
}

// parseRange reads "first-last", "first-" or "-count"; ok is false for what holds no byte of the file.
func parseRange(spec string, size int64) (start, length int64, ok bool) {
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !dash {
		return 0, 0, false
	}
	if first == "" {
		count, ok := parseOffset(last)
		count = min(count, size)
		return size - count, count, ok && count > 0
	}
	start, ok = parseOffset(first)
	end := size - 1
	if last != "" {
		n, lastOK := parseOffset(last)
		ok = ok && lastOK && n >= start
		end = min(end, n)
	}
	return start, end - start + 1, ok && start < size
}

// parseOffset reads digits; a number too large for an int64 is as good as the largest.
func parseOffset(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err == nil {
		return int64(n), true
	}
	digits := s != "" && strings.Trim(s, "0123456789") == ""
	return 1<<63 - 1, digits
}
