package source

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"ingot/internal/refusal"
)

// unknown is the size of a file whose source did not say.
const unknown = -1

// version is what tells one state of the file at a URL from another.
type version struct {
	etag     string
	modified string
	encoding string
}

func versionOf(h http.Header) version {
	return version{etag: h.Get("ETag"), modified: h.Get("Last-Modified"), encoding: h.Get("Content-Encoding")}
}

// ifRange returns the value for If-Range: a strong ETag, else the date (RFC 9110, 13.1.5); "" for none.
func (v version) ifRange() string {
	if strings.HasPrefix(v.etag, `"`) {
		return v.etag
	}
	return v.modified
}

// differs compares by the ETag where both answers have one, else by the date.
func (v version) differs(w version) bool {
	if v.encoding != w.encoding {
		return true
	}
	if v.etag != "" && w.etag != "" {
		return v.etag != w.etag
	}
	return v.modified != "" && w.modified != "" && v.modified != w.modified
}

// checkWhole checks an answer to a request for the whole file, which is the first one or comes after a connection that
// broke off before its first byte, and notes size and version.
func (t *transfer) checkWhole(resp *http.Response) error {
	if err := refuseEncoding(resp.Header); err != nil {
		return err
	}
	if resp.ContentLength > t.client.limits.MaxBytes {
		return tooLarge(t.client.limits.MaxBytes)
	}
	found := versionOf(resp.Header)
	if t.begun && (t.version.differs(found) || (t.size != unknown && t.size != resp.ContentLength)) {
		return changed()
	}
	t.begun, t.version, t.size = true, found, resp.ContentLength
	return nil
}

// checkRest checks an answer to a request for the file from offset on, and notes the size where it was unknown.
func (t *transfer) checkRest(resp *http.Response) error {
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable || t.version.differs(versionOf(resp.Header)) {
		return changed()
	}
	if resp.StatusCode == http.StatusOK {
		return refusal.Passing(nil, "source_no_resume", "The connection broke off after %d bytes, and the source cannot send the rest alone. "+
			"Use a server that answers range requests.", t.offset)
	}
	start, end, total, err := parseContentRange(resp.Header.Get("Content-Range"))
	if err != nil || start != t.offset || (resp.ContentLength >= 0 && resp.ContentLength != end-start+1) || (total == unknown && t.size == unknown) {
		return refusal.Passing(err, "source_range", "The connection broke off after %d bytes, and the source sent another part of the file than the rest that was asked for. "+
			"Use a server that answers range requests as HTTP says.", t.offset)
	}
	if total != unknown && t.size != unknown && total != t.size {
		return changed()
	}
	t.size = max(t.size, total)
	return nil
}

func changed() error {
	return refusal.New("source_changed", "The file at the URL changed while it was read, or is shorter than its server said. "+
		"Create the image again when the file is complete; a URL that names one version of it is better.")
}

func tooLarge(limit int64) error {
	return refusal.New("source_too_large", "The file has more than %d bytes, the most that is read. Make it smaller: qemu-img convert -c -O qcow2.", limit)
}

// parseContentRange reads "bytes 0-99/100" (RFC 9110, 14.4); total may be unknown. multipart/byteranges has none.
func parseContentRange(s string) (start, end, total int64, err error) {
	bad := fmt.Errorf("Content-Range %q", s)
	unit, rest, _ := strings.Cut(s, " ")
	span, size, ok := strings.Cut(rest, "/")
	first, last, dash := strings.Cut(span, "-")
	if !strings.EqualFold(unit, "bytes") || !ok || !dash {
		return 0, 0, 0, bad
	}
	from, err1 := strconv.ParseUint(first, 10, 62)
	to, err2 := strconv.ParseUint(last, 10, 62)
	if err1 != nil || err2 != nil || to < from {
		return 0, 0, 0, bad
	}
	if size == "*" {
		return int64(from), int64(to), unknown, nil
	}
	all, err := strconv.ParseUint(size, 10, 62)
	if err != nil || to >= all {
		return 0, 0, 0, bad
	}
	return int64(from), int64(to), int64(all), nil
}
