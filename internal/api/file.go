package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/image"
)

// The formats in which an image can be had.
const (
	formatRaw   = "raw"
	formatQCOW2 = "qcow2"

	formatManifest = "manifest" // has a path of its own
)

// fileWriteLimit is how long one write of a file, some hundred KiB, may take: slower than that is not a slow client
// but none.
const fileWriteLimit = 2 * time.Minute

// Contents finds what an image holds.
type Contents interface {
	// Content returns an image's kept content; an error where there is none (yet).
	Content(ctx context.Context, account, id int64) (image.Content, error)
}

// Files opens kept content as a file that a hypervisor reads.
type Files interface {
	// Open opens the content in a format, raw or qcow2, or its manifest, the list of its chunks. The same content in
	// the same format is the same file, byte for byte, for ever.
	Open(ctx context.Context, content image.Content, format string) (File, error)
}

// File is one file, whole.
type File interface {
	// Size is the file's length in bytes.
	Size() int64
	// WriteRange writes n bytes from off on to w, in order. Where it fails, what it has written is right.
	WriteRange(ctx context.Context, w io.Writer, off, n int64) error
}

// getFile answers the image itself, or a range of it.
func (a *API) getFile(c *call) error {
	format, err := formatOf(c.r)
	if err != nil {
		return err
	}
	return a.sendContent(c, format)
}

// getManifest answers the list of the image's chunks, by which a client that has another version of the image finds
// what changed.
func (a *API) getManifest(c *call) error { return a.sendContent(c, formatManifest) }

func (a *API) sendContent(c *call, format string) error {
	id, err := c.imageID()
	if err != nil {
		return err
	}
	content, err := a.catalog.Content(c.ctx(), c.token.AccountID, id)
	if err != nil {
		return err
	}
	tag := `"` + content.Digest + "-" + format + `"`
	contentType := "application/octet-stream"
	if format == formatManifest {
		tag, contentType = `"`+content.Digest+`"`, "application/vnd.ingot.manifest"
	}
	if done, err := c.conditions(tag); done || err != nil {
		return err
	}
	file, err := a.files.Open(c.ctx(), content, format)
	if err != nil {
		return err
	}
	part, err := c.part(tag, file.Size())
	if err != nil {
		return err
	}
	h := c.Header()
	h.Set("Content-Type", contentType)
	h.Set("ETag", tag)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="image-%d.%s"`, id, format))
	return c.send(file, part)
}

func formatOf(r *http.Request) (string, error) { return knownFormat(query(r).Get("format")) }

// knownFormat returns the format, raw where none is named.
func knownFormat(format string) (string, error) {
	if format == "" {
		return formatRaw, nil
	}
	if !slices.Contains([]string{formatRaw, formatQCOW2}, format) {
		return "", unprocessable("format must be raw or qcow2.")
	}
	return format, nil
}

// send writes a part of a file. The header goes out with the first byte, so that a store that cannot be read at all
// is still an answer; after that an error can only cut the connection.
func (c *call) send(file File, p part) error {
	w := &fileWriter{c: c, part: p, control: http.NewResponseController(c)}
	_ = w.control.SetReadDeadline(time.Time{}) // it would end the request's context; a writer without deadlines is a test's
	if c.r.Method == http.MethodHead || p.length == 0 {
		w.header()
		return nil
	}
	err := file.WriteRange(c.ctx(), w, p.start, p.length)
	if err == nil {
		return nil
	}
	if w.failed || c.ctx().Err() != nil {
		c.api.log.Debug("the client is gone", "request_id", c.id, "error", err)
		panic(http.ErrAbortHandler)
	}
	if c.status == 0 {
		c.forgetFile()
	}
	return fmt.Errorf("read image %s: %w", c.r.PathValue("id"), err)
}

// forgetFile takes back the headers of a file that cannot be sent.
func (c *call) forgetFile() {
	for _, name := range []string{"ETag", "Accept-Ranges", "Content-Disposition"} {
		c.Header().Del(name)
	}
}

// fileWriter is the body of a file's answer. Each write has a time limit of its own.
type fileWriter struct {
	c       *call
	part    part
	control *http.ResponseController
	failed  bool // to write: the client's end, not ours
}

func (w *fileWriter) header() {
	h := w.c.Header()
	h.Set("Content-Length", strconv.FormatInt(w.part.length, 10))
	if !w.part.partial {
		w.c.WriteHeader(http.StatusOK)
		return
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", w.part.start, w.part.start+w.part.length-1, w.part.size))
	w.c.WriteHeader(http.StatusPartialContent)
}

func (w *fileWriter) Write(b []byte) (int, error) {
	if w.c.status == 0 {
		w.header()
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(fileWriteLimit)) // as above
	n, err := w.c.Write(b)
	w.failed = w.failed || err != nil
	return n, err
}

// conditions answers what the request says it has or wants: done where that was all.
func (c *call) conditions(tag string) (done bool, err error) {
	if m := c.r.Header.Values("If-Match"); len(m) > 0 && !anyTag(m, tag, false) {
		return true, &problem{http.StatusPreconditionFailed, "precondition_failed", "The file is another one than If-Match names.", 0}
	}
	if m := c.r.Header.Values("If-None-Match"); len(m) > 0 && anyTag(m, tag, true) {
		c.Header().Set("ETag", tag)
		c.WriteHeader(http.StatusNotModified)
		return true, nil
	}
	return false, nil
}

// anyTag reports whether a list of entity tags holds tag. Tags of ours hold no comma and no quote.
func anyTag(lists []string, tag string, weak bool) bool {
	for _, list := range lists {
		for t := range strings.SplitSeq(list, ",") {
			t = strings.TrimSpace(t)
			if weak {
				t = strings.TrimPrefix(t, "W/")
			}
			if t == tag || t == "*" {
				return true
			}
		}
	}
	return false
}
