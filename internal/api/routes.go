package api

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// route is one operation: who may call it and what answers.
type route struct {
	method, pattern string
	scopes          string // all that it needs, with blanks between; "": no token is asked for
	basic           bool   // for tools that cannot send the token's header: it may be the password of HTTP Basic, or a signed link will do
	handle          func(*call) error
}

// operations is the table of everything that this package answers, in the order of the contract.
func (a *API) operations() []route {
	return []route{
		{"POST", "/v2/images", "image:create", false, a.createImage},
		{"GET", "/v2/images", "image:read", false, a.listImages},
		{"GET", "/v2/images/{id}", "image:read", false, a.getImage},
		{"PUT", "/v2/images/{id}", "image:update", false, a.updateImage},
		{"DELETE", "/v2/images/{id}", "image:delete", false, a.deleteImage},
		{"POST", "/v2/images/{id}/actions", "image:update", false, a.actOnImage},
		{"GET", "/v2/images/{id}/actions", "image:read", false, a.listImageActions},
		{"GET", "/v2/images/{id}/actions/{action}", "image:read", false, a.getImageAction},
		{"GET", "/v2/actions", "actions:read", false, a.listActions},
		{"GET", "/v2/actions/{action}", "actions:read", false, a.getAction},
		{"POST", "/v2/tags", "tag:create", false, a.createTag},
		{"GET", "/v2/tags", "tag:read", false, a.listTags},
		{"GET", "/v2/tags/{name}", "tag:read", false, a.getTag},
		{"DELETE", "/v2/tags/{name}", "tag:delete", false, a.deleteTag},
		{"POST", "/v2/tags/{name}/resources", "tag:create image:update", false, a.tagImages},
		{"DELETE", "/v2/tags/{name}/resources", "tag:delete image:update", false, a.untagImages},
		{"GET", "/v2/regions", "regions:read", false, a.listRegions},
		{"GET", "/v2/account", "account:read", false, a.getAccount},
		{"POST", "/v2/images/{id}/account_transfer", "image:update image:delete", false, a.offerImage}, // who gives an image away loses it
		{"POST", "/v2/images/{id}/account_transfer/accept", "image:create", false, a.acceptImage},
		{"POST", "/v2/images/{id}/account_transfer/cancel", "image:update", false, a.cancelOffer},
		{"POST", "/v2/images/{id}/account_transfer/decline", "image:create", false, a.declineOffer},
		{"GET", "/v2/images/{id}/import", "image:read", false, a.getImport},
		{"GET", "/v2/images/{id}/file", "image:read", true, a.getFile},
		{"GET", "/v2/images/{id}/manifest", "image:read", false, a.getManifest},
		{"POST", "/v2/images/{id}/links", "image:read", false, a.createLink},
		{"POST", "/v2/uploads", "image:create", false, a.serveUpload},
		{"OPTIONS", "/v2/uploads", "", false, a.uploadOptions},
		{"HEAD", "/v2/uploads/{upload}", "image:create", false, a.serveUpload},
		{"PATCH", "/v2/uploads/{upload}", "image:create", false, a.serveUpload},
		{"DELETE", "/v2/uploads/{upload}", "image:create", false, a.serveUpload},
		{"OPTIONS", "/v2/uploads/{upload}", "", false, a.uploadOptions},
		{"GET", "/v2/usage", "image:read", false, a.getUsage},
		{"GET", "/openapi.json", "", false, a.getDescription},
		{"GET", "/healthz", "", false, a.healthz},
		{"GET", "/readyz", "", false, a.readyz},
	}
}

// routes returns a mux that knows every operation, answers 405 and preflights on the paths of those, and 404
// everywhere else.
func (a *API) routes() *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, op := range a.operations() {
		mux.HandleFunc(op.method+" "+op.pattern, func(w http.ResponseWriter, r *http.Request) {
			w.(*call).run(r, op)
		})
		methods[op.pattern] = append(methods[op.pattern], op.method)
		if op.method == http.MethodGet {
			methods[op.pattern] = append(methods[op.pattern], http.MethodHead) // which the mux serves by the same handler
		}
	}
	for pattern, m := range methods {
		slices.Sort(m)
		allow := strings.Join(m, ", ")
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { otherMethod(w.(*call), r, allow) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.(*call).fail(errNoRoute) })
	return mux
}

// otherMethod answers a method that a path does not have. A browser's preflight names no token and gets none.
func otherMethod(c *call, r *http.Request, allow string) {
	h := c.Header()
	if r.Method != http.MethodOptions {
		h.Set("Allow", allow)
		c.fail(errMethod)
		return
	}
	h.Set("Allow", allow+", OPTIONS")
	h.Set("Access-Control-Allow-Methods", allow)
	h.Set("Access-Control-Allow-Headers", wantedHeaders(r, "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, Last-Event-ID, Range"))
	h.Set("Access-Control-Max-Age", "86400")
	c.WriteHeader(http.StatusNoContent)
}

const maxHeaderNames = 2048 // bytes

// headerNames is a list of names as browsers send it: letters, digits and hyphens.
var headerNames = regexp.MustCompile(`^[A-Za-z0-9-]+( ?, ?[A-Za-z0-9-]+)*$`)

// wantedHeaders are what a preflight allows: what it asks for, since SDKs send headers of their own (X-Stainless-Arch),
// or what the service itself knows. Nothing is decided by a header that it does not know.
func wantedHeaders(r *http.Request, known string) string {
	if wanted := r.Header.Get("Access-Control-Request-Headers"); len(wanted) <= maxHeaderNames && headerNames.MatchString(wanted) {
		return wanted
	}
	return known
}

// tidied returns the request with a path as the routes spell it: single slashes, none at the end. Clients differ in
// what they append to which base URL, and some do not follow a redirect with a body. ok is false for a path that
// the mux would answer with a redirect of its own.
func tidied(r *http.Request) (_ *http.Request, ok bool) {
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "/.") && slices.ContainsFunc(strings.Split(path, "/"), isDots) {
		return r, false
	}
	clean := path
	for strings.Contains(clean, "//") {
		clean = strings.ReplaceAll(clean, "//", "/")
	}
	if clean = strings.TrimSuffix(clean, "/"); clean == "" {
		clean = "/"
	}
	if clean == path {
		return r, true
	}
	u, err := url.ParseRequestURI(clean)
	if err != nil {
		return r, false
	}
	u.RawQuery = r.URL.RawQuery
	tidy := *r
	tidy.URL = u
	return &tidy, true
}

func isDots(segment string) bool { return segment == "." || segment == ".." }
