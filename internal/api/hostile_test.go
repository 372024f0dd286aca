package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"ingot/internal/catalog/pgtest"
	"ingot/internal/image"
)

// hostileIDs are ids in paths: what cannot be one, what nobody has, and what is another account's.
var hostileIDs = []string{
	"0", "-1", "1", "2", "9007199254740991", "9007199254740992", "9223372036854775807", "9223372036854775808",
	"18446744073709551616", "1e3", "0x1", "%00", "%ff", "%20", "%2e%2e", "%2F", "x'--", strings.Repeat("9", 4000), "ünï", "none",
}

// hostileValues are what a field may be sent as.
func hostileValues() []string {
	values := []string{
		`null`, `""`, `" "`, `0`, `-1`, `1`, `1e999`, `9007199254740993`, `18446744073709551616`, `true`, `[]`, `{}`, `[null]`, `[[]]`, `[{}]`,
		`"\u0000"`, `"a\u001bb"`, `"\u202egnp.exe"`, `"\u2066x"`, `"\u2028"`, `"\ud800"`, "\"\xff\xfe\"", `"'; DROP TABLE image; --"`,
		`"../../etc/passwd"`, `"file:///etc/passwd"`, `"https://user:secret@example.com/x#md5=0"`, `"transfer"`, `"convert"`, `"nyc3"`, `"bob@example.com"`,
		`[{"resource_id": "2", "resource_type": "image"}]`, `[{"resource_id": null, "resource_type": "image"}]`, `[{"resource_id": "1", "resource_type": 5}]`,
	}
	return append(values, `"`+strings.Repeat("x", 9000)+`"`, strings.Repeat("[", 500)+strings.Repeat("]", 500))
}

// hostileBodies are bodies with one field changed to each of the values, and bodies that are no object.
func hostileBodies(valid map[string]string) []string {
	bodies := []string{
		"", "null", "[]", "1", `"x"`, "{", "{}", `{"a":1}{"b":2}`, "\xff", "\ufeff{}", strings.Repeat(`{"a":`, 20_000), `{"` + strings.Repeat("k", 5000) + `":1}`,
	}
	for field := range valid {
		for _, value := range hostileValues() {
			var b strings.Builder
			for name, v := range valid {
				if name == field {
					v = value
				}
				fmt.Fprintf(&b, ",%q:%s", name, v)
			}
			bodies = append(bodies, "{"+b.String()[1:]+"}")
		}
		bodies = append(bodies, fmt.Sprintf("{%q:%s,%q:%s}", field, valid[field], field, valid[field]))
	}
	return bodies
}

// hostileOperations are what takes a body; ID is an image, TAG a tag.
var hostileOperations = []struct {
	method, path string
	fields       map[string]string
}{
	{"POST", "/v2/images", map[string]string{"name": `"x"`, "url": `"https://example.com/x"`, "region": `"nyc3"`, "distribution": `"Debian"`, "description": `"x"`, "tags": `["x"]`}},
	{"PUT", "/v2/images/ID", map[string]string{"name": `"x"`, "distribution": `"Debian"`, "description": `"x"`}},
	{"POST", "/v2/images/ID/actions", map[string]string{"type": `"transfer"`, "region": `"fra1"`}},
	{"POST", "/v2/images/ID/account_transfer", map[string]string{"recipient_uuid": `"x"`}},
	{"POST", "/v2/images/ID/account_transfer", map[string]string{"recipient_email": `"x@example.com"`, "recipient_uuid": `null`}},
	{"POST", "/v2/images/ID/account_transfer/accept", map[string]string{"transfer_id": `1`, "recipient_uuid": `"x"`}},
	{"POST", "/v2/images/ID/account_transfer/cancel", map[string]string{"transfer_id": `1`}},
	{"POST", "/v2/images/ID/account_transfer/decline", map[string]string{"transfer_id": `1`}},
	{"POST", "/v2/images/ID/links", map[string]string{"format": `"raw"`, "expires_in": `60`}},
	{"POST", "/v2/tags", map[string]string{"name": `"x"`}},
	{"POST", "/v2/tags/TAG/resources", map[string]string{"resources": `[{"resource_id": "2", "resource_type": "image"}]`}},
	{"DELETE", "/v2/tags/TAG/resources", map[string]string{"resources": `[{"resource_id": "2", "resource_type": "image"}]`}},
}

var hostilePaths = []string{
	"/v2/images/ID", "/v2/images/ID/actions", "/v2/images/ID/actions/ID", "/v2/images/ID/import", "/v2/images/ID/file", "/v2/images/ID/manifest",
	"/v2/images/2/file?format=ID", "/v2/actions/ID", "/v2/tags/ID", "/v2/images?page=ID&per_page=ID", "/v2/images?type=ID", "/v2/images?private=ID",
	"/v2/images?tag_name=ID", "/v2/actions?page=ID", "/v2/tags?page=ID&per_page=ID", "/v2/regions?page=ID&per_page=ID", "/v2/usage?page=ID&per_page=ID",
}

// hostileWays are what needs no body but an id.
var hostileWays = []struct{ method, path string }{
	{"DELETE", "/v2/images/ID"}, {"DELETE", "/v2/tags/ID"}, {"HEAD", "/v2/uploads/ID"}, {"PATCH", "/v2/uploads/ID"}, {"DELETE", "/v2/uploads/ID"},
}

// leaks is what no answer may hold: the words of what is inside, and what is another account's.
var leaks = regexp.MustCompile(`(?i)sqlite|sqlstate|constraint|goroutine|runtime error|panic|\.go:|/root/|/tmp/|catalog\.|bobs-secret`)

// TestHostileInput sends everything that is wrong to everything there is: what one database takes, the other may refuse.
func TestHostileInput(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { testHostileInput(t, newService(t, nil)) })
	t.Run("PostgreSQL", func(t *testing.T) { testHostileInput(t, newServiceOn(t, pgtest.Start(t).Database(t), nil)) })
}

func testHostileInput(t *testing.T, s *service) {
	s.register(t, "bob", "snapshot", "1")
	s.register(t, "alice", "snapshot", "2")
	for name, tag := range map[string]string{"bob": "bobs-secret-tag", "alice": "hers"} {
		if _, err := s.catalog.CreateTag(t.Context(), s.accounts[name], tag); err != nil {
			t.Fatal(err)
		}
	}
	client := s.server.Client()
	ask := func(method, path, body, token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, strings.NewReader(body))
		if err != nil {
			return 0 // the client itself refuses such a path
		}
		req.Header.Set("Authorization", "Bearer "+s.tokens[token])
		if strings.HasPrefix(path, "/v2/uploads") {
			req.Header.Set("Tus-Resumable", "1.0.0")
			req.Header.Set("Content-Type", "application/offset+octet-stream")
			req.Header.Set("Upload-Offset", "0")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %.100s: %v", method, path, err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusConflict {
			t.Errorf("%s %.100s with %.200q: %d %s", method, path, body, resp.StatusCode, answer)
		}
		if leaks.Match(answer) {
			t.Errorf("%s %.100s with %.200q says too much: %.500s", method, path, body, answer)
		}
		var e struct{ ID, Message string }
		if resp.StatusCode >= 400 && method != http.MethodHead && (json.Unmarshal(answer, &e) != nil || e.ID == "" || e.Message == "") {
			t.Errorf("%s %.100s with %.200q: %d, but the body is %.500q", method, path, body, resp.StatusCode, answer)
		}
		return resp.StatusCode
	}
	bobs, hers := strings.NewReplacer("ID", "1", "TAG", "1"), strings.NewReplacer("ID", "2", "TAG", "hers")
	for _, op := range hostileOperations {
		for _, body := range hostileBodies(op.fields) {
			ask(op.method, bobs.Replace(op.path), body, "alice")
			ask(op.method, hers.Replace(op.path), body, "alice")
		}
		body, _ := json.Marshal(asRaw(op.fields))
		for _, id := range hostileIDs {
			ask(op.method, strings.NewReplacer("ID", id, "TAG", id).Replace(op.path), string(body), "alice")
		}
		for _, token := range []string{"unknown", "expired"} {
			if code := ask(op.method, bobs.Replace(op.path), string(body), token); code != http.StatusUnauthorized {
				t.Errorf("%s %s as %s: %d", op.method, op.path, token, code)
			}
		}
		if code := ask(op.method, bobs.Replace(op.path), strings.Repeat(" ", 10<<20), "alice"); code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s %s with 10 MiB: %d", op.method, op.path, code)
		}
	}
	for _, path := range hostilePaths {
		for _, id := range hostileIDs {
			for _, method := range []string{"GET", "HEAD"} {
				ask(method, strings.ReplaceAll(path, "ID", id), "", "alice")
			}
		}
		for _, token := range []string{"unknown", "expired"} {
			if code := ask("GET", strings.ReplaceAll(path, "ID", "1"), "", token); code != http.StatusUnauthorized {
				t.Errorf("%s as %s: %d", path, token, code)
			}
		}
	}
	if m, err := s.catalog.Image(t.Context(), s.accounts["alice"], 2); err != nil || m.Status != image.Available {
		t.Errorf("alice's image after all that: %+v, %v", m, err)
	}
	for _, way := range hostileWays {
		for _, id := range hostileIDs {
			ask(way.method, strings.ReplaceAll(way.path, "ID", id), "", "alice")
		}
		for _, token := range []string{"unknown", "expired"} {
			if code := ask(way.method, strings.ReplaceAll(way.path, "ID", "1"), "", token); code != http.StatusUnauthorized {
				t.Errorf("%s %s as %s: %d", way.method, way.path, token, code)
			}
		}
	}
	if code := ask("GET", "/v2/images/2", "", "alice"); code != http.StatusNotFound {
		t.Errorf("alice's image after she deleted it: %d", code)
	}
	// What is bob's is as it was.
	m, err := s.catalog.Image(t.Context(), s.accounts["bob"], 1)
	if err != nil || m.Name != "snapshot" || len(m.Regions) != 1 || len(m.Tags) != 0 {
		t.Errorf("bob's image after all that: %+v, %v", m, err)
	}
}

func asRaw(fields map[string]string) map[string]json.RawMessage {
	raw := map[string]json.RawMessage{}
	for name, value := range fields {
		raw[name] = json.RawMessage(value)
	}
	return raw
}
