package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/api"
	"ingot/internal/disk/disktest"
)

// link asks for a signed link.
func (s *service) link(t *testing.T, id int, body string) string {
	t.Helper()
	req, err := http.NewRequest("POST", fmt.Sprintf("%s/v2/images/%d/links", s.server.URL, id), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.tokens["alice"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Link struct{ URL string } }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %v", resp.StatusCode, err)
	}
	return answer.Link.URL
}

// get returns the status of a GET, and the message of an error.
func get(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var e struct{ Message string }
	_ = json.Unmarshal(b, &e) // a file is none
	return resp.StatusCode, e.Message
}

func TestAnAlteredLinkOpensNothing(t *testing.T) {
	s := newService(t, nil)
	s.create(t, "alice", 2)
	s.direct(t, "publish 1 3000777 1000")
	s.direct(t, "publish 2 3000777 1000")
	whole := s.link(t, 1, `{"format": "raw", "expires_in": 3600}`)
	s.link(t, 2, `{}`)
	if code, message := get(t, whole); code != http.StatusOK {
		t.Fatalf("the link itself: %d %s", code, message)
	}
	u, err := url.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	altered := map[string]string{"another image": strings.Replace(whole, "/images/1/", "/images/2/", 1)}
	change := func(what, key, value string) {
		other := u.Query()
		other.Set(key, value)
		altered[what] = s.server.URL + u.Path + "?" + other.Encode()
	}
	change("another format", "format", "qcow2")
	change("no format", "format", "")
	change("a later date", "expires", q.Get("expires")+"0")
	change("no date", "expires", "")
	change("a date that is none", "expires", "tomorrow")
	change("no signature", "signature", "")
	for i, c := range q.Get("signature") {
		changed := []byte(q.Get("signature"))
		changed[i] = byte(c) ^ 1
		change(fmt.Sprintf("byte %d of the signature", i), "signature", string(changed))
	}
	for what, address := range altered {
		if code, message := get(t, address); code != http.StatusForbidden || !strings.Contains(message, "not valid") {
			t.Errorf("%s: %d %s", what, code, message)
		}
	}
}

func TestALinkEnds(t *testing.T) {
	s := newService(t, nil)
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 3000777 1000")
	address := s.link(t, 1, `{"expires_in": 1}`)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		code, message := get(t, address)
		if code == http.StatusForbidden && strings.Contains(message, "expired at") {
			return
		}
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, message)
		}
	}
	t.Error("the link still opens after a minute")
}

func TestLinksAreNotLogged(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	write := writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	})
	s := newService(t, func(cfg *api.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(write, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 3000777 1000")
	u, err := url.Parse(s.link(t, 1, `{}`))
	if err != nil {
		t.Fatal(err)
	}
	get(t, u.String())
	get(t, u.String()+"x")
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); !strings.Contains(text, "/v2/images/1/file") || strings.Contains(text, u.Query().Get("signature")) {
		t.Errorf("the log: %s", text)
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

func TestQEMUReadsALink(t *testing.T) {
	disktest.NeedTool(t, "qemu-img")
	s := newService(t, nil)
	s.create(t, "alice", 1)
	s.direct(t, "publish 1 3000777 1000")
	raw, qcow2 := s.link(t, 1, `{"format": "raw"}`), s.link(t, 1, `{"format": "qcow2"}`)
	disktest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, qcow2)
}
