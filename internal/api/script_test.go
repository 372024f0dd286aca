package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A script is a conversation with the service. Its steps begin with "== name" and are a request and the answer to it,
// or directives to the fixture, a line each, that begin with "!". Lines that begin with "#" say why.
//
//	== an image is found by its id
//	GET /v2/images/$id as alice
//
//	200
//	content-type: application/json
//	{"image": {"id": "$id", "name": "disk", "…": "…"}}
//
// A request is a line, headers and a body; "as NAME" sends the token of that name, "as basic:NAME" sends it as a
// password. "@repeat N TEXT" and "@go LITERAL" stand for a body that does not want to be written down. An answer is a status,
// headers and a body. In headers and in JSON "…" is any text, and "$name" the value that had this place first; a header "-" must
// not be there. Keys are compared in order; a last key or element "…" lets others follow. "error ID MESSAGE" is the
// body of an error. "…" alone is any body; no body means none; a line of a text may begin with a bar.
type step struct {
	name       string
	line       int
	directives []string
	request    message
	answer     message
}

type message struct {
	first  string // request line or status
	header [][2]string
	body   string
}

var (
	statusLine = regexp.MustCompile(`^[0-9]{3}$`)
	headerLine = regexp.MustCompile(`^([A-Za-z-]+): (.*)$`)
)

func readScript(t *testing.T, path string) []step {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	into := &message{}
	for i, line := range strings.Split(string(text), "\n") {
		name, isStep := strings.CutPrefix(line, "== ")
		switch {
		case isStep:
			steps = append(steps, step{name: name, line: i + 1})
			into = &steps[len(steps)-1].request
		case strings.HasPrefix(line, "#") || len(steps) == 0:
		case strings.HasPrefix(line, "! "):
			s := &steps[len(steps)-1]
			s.directives = append(s.directives, line[2:])
		case into == &steps[len(steps)-1].request && statusLine.MatchString(line):
			into = &steps[len(steps)-1].answer
			into.first = line
		default:
			into.add(line)
		}
	}
	return steps
}

func (m *message) add(line string) {
	header := headerLine.FindStringSubmatch(line)
	switch {
	case m.first == "":
		m.first = line
	case m.body == "" && header != nil:
		m.header = append(m.header, [2]string{header[1], header[2]})
	case m.body != "" || line != "":
		m.body = strings.TrimSpace(m.body + "\n" + line)
	}
}

// wire talks to the service by a connection of its own, so that nothing is tidied on the way.
type wire struct {
	t      *testing.T
	addr   string
	vars   map[string]string
	tokens map[string]string
	spec   *described
}

func (w *wire) run(s step) {
	resp, body := w.send(s.request)
	if got := strconv.Itoa(resp.StatusCode); got != s.answer.first {
		w.t.Errorf("status %s, want %s\n%s", got, s.answer.first, body)
	}
	for _, h := range s.answer.header {
		w.checkHeader(resp.Header, h[0], w.expand(h[1]))
	}
	w.checkCommon(resp, body)
	method, target, _ := strings.Cut(w.expand(s.request.first), " ")
	target, _, _ = strings.Cut(target, " as ")
	w.spec.check(w.t, method, target, resp, body)
	w.checkBody(s.answer.body, string(body))
}

func (w *wire) send(m message) (*http.Response, []byte) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	method, text := w.requestText(m)
	if _, err := conn.Write(text); err != nil {
		w.t.Fatalf("the request could not be sent: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("the answer was cut: %v\n%s", err, body)
	}
	return resp, body
}

func (w *wire) requestText(m message) (method string, text []byte) {
	line, as, _ := strings.Cut(w.expand(m.first), " as ")
	method, target, _ := strings.Cut(line, " ")
	body := w.requestBody(m.body)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nConnection: close\r\n", method, target)
	has := map[string]bool{}
	for _, h := range m.header {
		has[strings.ToLower(h[0])] = true
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], w.expand(h[1]))
	}
	if !has["host"] {
		fmt.Fprintf(&b, "Host: %s\r\n", w.addr)
	}
	if body != "" || method == "POST" || method == "PUT" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	if name, basic := strings.CutPrefix(as, "basic:"); basic {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth("anybody", w.token(name))
		fmt.Fprintf(&b, "Authorization: %s\r\n", r.Header.Get("Authorization"))
	} else if as != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", w.token(as))
	}
	b.WriteString("\r\n")
	if !has["expect"] {
		b.WriteString(body)
	}
	return method, b.Bytes()
}

func (w *wire) token(name string) string {
	secret, ok := w.tokens[name]
	if !ok {
		w.t.Fatalf("there is no token %q", name)
	}
	return secret
}

// expand puts the values of variables in their place.
func (w *wire) expand(s string) string {
	return regexp.MustCompile(`\$[a-z]+[0-9]*`).ReplaceAllStringFunc(s, func(name string) string {
		if v, ok := w.vars[name]; ok {
			return v
		}
		return name
	})
}

func (w *wire) requestBody(body string) string {
	if rest, ok := strings.CutPrefix(body, "@repeat "); ok {
		count, text, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			w.t.Fatal(err)
		}
		return strings.Repeat(text, n)
	}
	if literal, ok := strings.CutPrefix(body, "@go "); ok {
		s, err := strconv.Unquote(literal)
		if err != nil {
			w.t.Fatalf("%s: %v", literal, err)
		}
		return s
	}
	return w.expand(body)
}

func (w *wire) checkHeader(h http.Header, name, want string) {
	w.t.Helper()
	got, there := strings.Join(h.Values(name), ", "), h.Values(name) != nil
	if want == "-" && there {
		w.t.Errorf("header %s: %s, want none", name, got)
	} else if want != "-" && (!there || !like(got, want)) {
		w.t.Errorf("header %s: %q, want %q", name, got, want)
	}
}

// like compares with a pattern in which "…" stands for any text.
func like(got, want string) bool {
	parts := strings.Split(want, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(got)
}

var (
	uuid    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	integer = regexp.MustCompile(`^[0-9]+$`)
)

// checkCommon checks what the contract promises of every answer.
func (w *wire) checkCommon(resp *http.Response, body []byte) {
	w.t.Helper()
	id := resp.Header.Get("X-Request-Id")
	if !uuid.MatchString(id) {
		w.t.Errorf("x-request-id is %q", id)
	}
	for _, name := range []string{"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset"} {
		if v := resp.Header.Get(name); !integer.MatchString(v) {
			w.t.Errorf("header %s is %q, no integer", name, v)
		}
	}
	if resp.StatusCode < 400 || len(body) == 0 {
		return
	}
	var e struct {
		ID, Message string
		RequestID   string `json:"request_id"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || e.Message == "" || e.RequestID != id {
		w.t.Errorf("%v: the error's body is %s, of the request %s", err, body, id)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
		w.t.Errorf("the error has the type %q", ct)
	}
}

func (w *wire) checkBody(want, got string) {
	w.t.Helper()
	rest, isError := strings.CutPrefix(want, "error ")
	if isError {
		id, message, _ := strings.Cut(rest, " ")
		quoted, _ := json.Marshal(message)
		want = fmt.Sprintf(`{"id": %q, "message": %s, "request_id": "…"}`, id, quoted)
	}
	switch {
	case want == "…":
	case strings.HasPrefix(want, "@go "):
		if literal := w.requestBody(want); got != literal {
			w.t.Errorf("body %.500q, want %q", got, literal)
		}
	case want == "":
		if got != "" {
			w.t.Errorf("a body where none was wanted: %.500q", got)
		}
	case want[0] == '{':
		w.checkJSON(want, got)
	default:
		if want = w.expand(unquoted(want)); !like(strings.TrimSpace(got), want) {
			w.t.Errorf("body\n%.2000s\nwant\n%s", got, want)
		}
	}
}

func (w *wire) checkJSON(want, got string) {
	w.t.Helper()
	pattern, err := parseJSON(want)
	if err != nil {
		w.t.Fatalf("the script's JSON: %v\n%s", err, want)
	}
	value, err := parseJSON(got)
	if err != nil {
		w.t.Errorf("the answer's JSON: %v\n%.500s", err, got)
		return
	}
	if err := w.match(pattern, value, ""); err != nil {
		w.t.Errorf("%v\n%.2000s\nwant\n%s", err, got, w.expand(want))
	}
}

// unquoted takes the bars off the lines of a text.
func unquoted(s string) string {
	return regexp.MustCompile(`(?m)^\| ?`).ReplaceAllString(s, "")
}
