package api

import (
	"bytes"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"ingot/internal/image"
)

// Uploads serves the tus protocol, by which clients send files in pieces.
type Uploads interface {
	// ServeUpload answers one request for an account; an error as plain text, "CODE: message".
	ServeUpload(w http.ResponseWriter, r *http.Request, account int64)
}

const (
	uploadsPath = "/v2/uploads"

	statusChecksumMismatch = 460 // the protocol's own
)

func (a *API) serveUpload(c *call) error {
	if a.uploads == nil {
		return errNoRoute
	}
	w := &uploadWriter{call: c}
	a.uploads.ServeUpload(w, c.r, c.token.AccountID)
	return w.problem()
}

// uploadOptions answers what the protocol can do here, and a browser's preflight; neither has a token.
func (a *API) uploadOptions(c *call) error {
	h := c.Header()
	h.Set("Access-Control-Allow-Methods", "DELETE, HEAD, OPTIONS, PATCH, POST")
	h.Set("Access-Control-Allow-Headers", wantedHeaders(c.r, "Authorization, Content-Type, Tus-Resumable, Upload-Checksum, Upload-Length, Upload-Metadata, Upload-Offset"))
	h.Set("Access-Control-Max-Age", "86400")
	return a.serveUpload(c)
}

// uploadWriter passes on what went well, and gives errors the shape that all errors have here.
type uploadWriter struct {
	*call
	refused int // the status of an error
	said    bytes.Buffer
}

func (w *uploadWriter) Unwrap() http.ResponseWriter { return w.call.ResponseWriter }

func (w *uploadWriter) WriteHeader(status int) {
	h := w.Header()
	if status >= 400 {
		h.Del("Content-Type")
		h.Del("Content-Length")
		w.refused = status
		return
	}
	if location := h.Get("Location"); location != "" {
		h.Set("Location", w.origin()+uploadsPath+"/"+path.Base(location))
	}
	if w.r.Header.Get("Origin") != "" {
		h.Set("Access-Control-Expose-Headers", h.Get("Access-Control-Expose-Headers")+
			", Location, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset")
	}
	w.call.WriteHeader(status)
}

func (w *uploadWriter) Write(b []byte) (int, error) {
	if w.refused != 0 {
		return w.said.Write(b)
	}
	return w.call.Write(b)
}

// uploadErrors are the names of the protocol's errors on the wire.
var uploadErrors = map[int]string{
	http.StatusBadRequest: "bad_request", http.StatusConflict: "conflict", http.StatusGone: "gone",
	http.StatusPreconditionFailed: "precondition_failed", http.StatusRequestEntityTooLarge: "request_entity_too_large",
	http.StatusUnsupportedMediaType: "unsupported_media_type", http.StatusUnprocessableEntity: "unprocessable_entity",
	http.StatusLocked: "locked", statusChecksumMismatch: "checksum_mismatch", http.StatusServiceUnavailable: "service_unavailable",
	http.StatusInsufficientStorage: "insufficient_storage",
}

// uploadMessages say what to do where the library's text does not.
var uploadMessages = map[string]string{
	"ERR_MISMATCHED_OFFSET":     "Upload-Offset is not where the upload ends; ask by HEAD where to go on.",
	"ERR_MAX_SIZE_EXCEEDED":     "The file is larger than this service takes; OPTIONS says how large one may be, in Tus-Max-Size.",
	"ERR_UPLOAD_SIZE_EXCEEDED":  "The body goes beyond the Upload-Length that was announced.",
	"ERR_INVALID_UPLOAD_LENGTH": "Upload-Length must be the file's size in bytes.",
	"ERR_INVALID_CONTENT_TYPE":  "Content-Type must be application/offset+octet-stream.",
	"ERR_INVALID_OFFSET":        "Upload-Offset must be a number of bytes.",
	"ERR_UNSUPPORTED_VERSION":   "Tus-Resumable must be 1.0.0: this is the tus protocol (https://tus.io).",
	"ERR_UPLOAD_LOCKED":         "Another request is sending to this upload; try again when it has ended.",
}

func (w *uploadWriter) problem() error {
	if w.refused == 0 {
		return nil
	}
	if w.refused == http.StatusNotFound {
		return image.ErrNotFound
	}
	text := strings.TrimSpace(w.said.String())
	code, message, found := strings.Cut(text, ": ")
	if code == "ERR_READ_TIMEOUT" || code == "ERR_CONNECTION_RESET" {
		return errStalled
	}
	id, known := uploadErrors[w.refused]
	if !known {
		return errors.New("upload: " + text)
	}
	if !found || !strings.HasPrefix(code, "ERR_") {
		message = text
	}
	if better, ok := uploadMessages[code]; ok {
		message = better
	}
	if message == "" {
		message = http.StatusText(w.refused) // of HEAD, which has no body
	}
	var again time.Duration
	if w.refused == http.StatusServiceUnavailable {
		again = time.Second
	}
	return &problem{w.refused, id, message, again}
}

// errStalled answers a client that ceased to send. It is the client's doing, and would be a 4xx; but clients of the
// protocol go on by themselves after a 5xx, and after a 4xx give up what they have sent.
var errStalled = &problem{http.StatusServiceUnavailable, "service_unavailable",
	"The body ceased to arrive. What has arrived is kept; ask by HEAD where to go on.", time.Second}
